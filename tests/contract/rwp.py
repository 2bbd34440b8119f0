"""Contract of hal.rwp.Processor: `CASES` take the processor."""

from hal.errors import CorruptData


def _raises(kind, call, *arguments) -> None:
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def noise(length: int, seed: int) -> bytearray:
    """Pseudo-random bytes, the same on both interpreters (xorshift32 words)."""
    out = bytearray(length + 4)
    state = seed * 2654435761 & 0xFFFFFFFF or 1
    for at in range(0, length, 4):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        out[at : at + 4] = state.to_bytes(4, "little")
    return out[:length]


async def crc_vectors(processor) -> None:
    """RFC 3720 B.4."""
    assert processor.crc32c(b"123456789") == 0xE3069283
    assert processor.crc32c(bytes(32)) == 0x8A9136AA
    assert processor.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert processor.crc32c(bytes(range(32))) == 0x46DD794E
    assert processor.crc32c(b"") == 0


async def crc_continues(processor) -> None:
    data = noise(1000, 1)
    for cut in (0, 1, 7, 500, 1000):
        assert processor.crc32c(memoryview(data)[cut:], processor.crc32c(data[:cut])) == processor.crc32c(data)


async def blake2b_vectors(processor) -> None:
    """RFC 7693 appendix A; the keyed one is the first of the reference's known answers (blake2-kat)."""
    abc = bytes.fromhex(
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    )
    keyed = bytes.fromhex(
        "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
        "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568"
    )
    assert processor.blake2b(b"abc", digest_bytes=64) == abc
    assert processor.blake2b(b"", bytes(range(64)), 64) == keyed
    assert len(processor.blake2b(b"abc")) == 32
    _raises(ValueError, processor.blake2b, b"", b"", 65)
    _raises(ValueError, processor.blake2b, b"", b"", 0)
    _raises(ValueError, processor.blake2b, b"", bytes(65))


async def zstd_round_trip(processor) -> None:
    target = bytearray(70000)
    back = bytearray(70000)
    for source in (b"", b"x", b"abc" * 20000, bytes(65536), noise(60000, 2)):
        for level in (1, 3, 9):
            length = processor.compress(source, target, level)
            assert length > 0
            assert processor.decompress(memoryview(target)[:length], back) == len(source)
            assert back[: len(source)] == source


async def zstd_does_not_fit(processor) -> None:
    source = noise(4096, 3)
    assert processor.compress(source, bytearray(4096)) == 0
    target = bytearray(5000)
    length = processor.compress(source, target)
    _raises(CorruptData, processor.decompress, target[:length], bytearray(4095))


async def zstd_hostile(processor) -> None:
    target = bytearray(1000)
    frame = target[: processor.compress(b"some text " * 50, target)]
    room = bytearray(100000)
    for bad in (
        b"",
        b"\x28",
        frame[:-1],
        frame + b"\0",
        frame + frame,
        b"\x50\x2a\x4d\x18\4\0\0\0abcd" + frame,
        b"\x50\x2a\x4d\x18\4\0\0\0abcd",
        b"plain text, long enough",
    ):
        _raises(CorruptData, processor.decompress, bad, room)
    # Declares 2^60 bytes of content in a single segment.
    _raises(CorruptData, processor.decompress, b"\x28\xb5\x2f\xfd\xe0" + bytes(7) + b"\x10\1\0\0", room)
    # No content size, RLE blocks of 128 KiB each: 4 bytes of input per 128 KiB.
    bomb = b"\x28\xb5\x2f\xfd\0\x58" + b"\x02\0\x10A" * 50 + b"\x03\0\x10A"
    _raises(CorruptData, processor.decompress, bomb, room)
    assert processor.decompress(frame, room) == 500  # the context is still good


def _codeword(processor, k: int, m: int, length: int, given: int) -> tuple:
    """(encoder, blocks k+m) with the first `given` data blocks filled, the rest zero and never added."""
    encoder = processor.rs_encoder(k, m)
    blocks = [noise(length, 100 + i) if i < given else bytearray(length) for i in range(k)]
    parity = [bytearray(length) for _ in range(m)]
    for index in range(given):
        encoder.update(index, blocks[index], parity)
    return encoder, blocks + parity


def _check(encoder, blocks: list, lost: tuple) -> None:
    present = {i: block for i, block in enumerate(blocks) if i not in lost}
    missing = [i for i in lost if i < encoder.k]
    found = encoder.recover(present, missing, len(blocks[0]))
    assert sorted(found) == sorted(missing)
    for index in missing:
        assert found[index] == blocks[index], (lost, index)


async def rs_every_pattern(processor) -> None:
    encoder, blocks = _codeword(processor, 4, 2, 100, 4)
    for first in range(6):
        _check(encoder, blocks, (first,))
        for second in range(6):
            if first != second:
                _check(encoder, blocks, (first, second))
    _check(encoder, blocks, ())
    three_lost = {i: blocks[i] for i in (0, 1, 5)}
    _raises(CorruptData, encoder.recover, three_lost, [2, 3], 100)


async def rs_random_patterns(processor) -> None:
    encoder, blocks = _codeword(processor, 80, 8, 512, 80)
    for seed in range(20):
        lost = []
        for byte in noise(64, 1000 + seed):
            if byte % 88 not in lost and len(lost) < 8:
                lost.append(byte % 88)
        _check(encoder, blocks, tuple(lost))


async def rs_short_codeword(processor) -> None:
    encoder, blocks = _codeword(processor, 10, 3, 64, 4)
    _check(encoder, blocks, (0, 3, 7))
    encoder, blocks = _codeword(processor, 10, 3, 64, 0)
    assert not any(any(block) for block in blocks)
    encoder, blocks = _codeword(processor, 1, 1, 1, 1)
    assert blocks[0] == blocks[1]
    _check(encoder, blocks, (0,))


async def rs_known_parity(processor) -> None:
    """Cauchy rows over 0x11D: coefficient of data j in parity i is 1 / ((k + i) xor j); 1/4 = 0x47, 1/5 = 0xa7, 1/6 = 0x7a, 1/7 = 0xba."""
    encoder = processor.rs_encoder(4, 1)
    parity = [bytearray(1)]
    for index, inverse in enumerate((0x47, 0xA7, 0x7A, 0xBA)):
        parity[0][0] = 0
        encoder.update(index, b"\1", parity)
        assert parity[0][0] == inverse, (index, parity[0])


async def rs_refuses(processor) -> None:
    encoder = processor.rs_encoder(4, 2)
    _raises(ValueError, encoder.update, 4, b"ab", [bytearray(2), bytearray(2)])
    _raises(ValueError, encoder.update, 0, b"ab", [bytearray(2)])
    _raises(ValueError, encoder.update, 0, b"ab", [bytearray(2), bytearray(1)])
    _raises(ValueError, encoder.recover, dict.fromkeys(range(1, 5), b"ab"), [4], 2)
    _raises(ValueError, encoder.recover, dict.fromkeys((1, 2, 3, 6), b"ab"), [0], 2)
    _raises(ValueError, processor.rs_encoder, 250, 6)


CASES = {
    "crc_vectors": crc_vectors,
    "crc_continues": crc_continues,
    "blake2b_vectors": blake2b_vectors,
    "zstd_round_trip": zstd_round_trip,
    "zstd_does_not_fit": zstd_does_not_fit,
    "zstd_hostile": zstd_hostile,
    "rs_every_pattern": rs_every_pattern,
    "rs_random_patterns": rs_random_patterns,
    "rs_short_codeword": rs_short_codeword,
    "rs_known_parity": rs_known_parity,
    "rs_refuses": rs_refuses,
}
