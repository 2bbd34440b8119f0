"""Contract of `hal.tape.Tape`, one suite for every drive: simulated, istgt, tgt, and whatever /dev/sg leads to.

Whoever has a drive derives a `Bench` for it and runs every one of `CASES` with it. Both interpreters.
"""

import asyncio

from hal import loop
from hal.errors import BlankCheck, EndOfMedium, FileMark, MediumError, NotReady, UnitAttention, WriteProtected, WrongLength

KIB = 1024
BLOCK = 256 * KIB


class Bench:
    """The drive under test; a test file derives from it.

    `reports_length`: the drive reports a block that is longer than the buffer. `reports_short`: `read` gives the length of a
    shorter one, and not that of the buffer. `end_bytes`: a cartridge from `small` is full
    after about so many bytes (0: this drive has no hard end). `early`: it gives early warning before that. `can_protect`, `can_change`.
    `can_lock`: `pull` shows whether the cartridge is locked in.
    """

    can_lock = False
    reports_length = True
    reports_short = True
    end_bytes = 0
    early = False
    can_protect = True
    can_change = True

    async def open(self):
        """A fresh SscTape with a blank cartridge in it, nothing asked of it yet."""
        raise NotImplementedError

    async def small(self):
        """As `open`, with a cartridge that has an end."""
        raise NotImplementedError

    async def again(self, tape):
        """Close `tape` and give a fresh SscTape with the same cartridge."""
        raise NotImplementedError

    async def reload(self, tape) -> None:
        """After `unload`: put the same cartridge back in and load it."""
        await tape.load()

    async def pull(self, tape) -> bool:
        """Press the button at the drive: whether the cartridge came out."""
        raise NotImplementedError

    async def protect(self, tape):
        """Close `tape` and give a fresh SscTape with the same cartridge, write-protected."""
        raise NotImplementedError

    async def damage(self, tape, first: int, count: int) -> None:
        """Corrupt these blocks behind the drive's back."""
        raise NotImplementedError


def pattern(number: int, length: int) -> bytes:
    """A block that no other number has."""
    word = b"block %08d " % number
    return (word * (length // len(word) + 1))[:length]


async def raises(kind, awaitable):
    """The exception of `kind` that `awaitable` ends with."""
    try:
        result = await awaitable
    except kind as error:
        return error
    raise AssertionError("expected %s, got the result %r" % (kind, result))


async def wrote(tape, layout, length: int = 4 * KIB) -> None:
    """Rewind and write `layout`: "b" a block numbered by its address, "m" a filemark."""
    await tape.rewind()
    for address, kind in enumerate(layout):
        if kind == "b":
            await tape.write(pattern(address, length))
        else:
            await tape.write_filemarks(1)
    await tape.write_filemarks(0)


async def expect(tape, address: int, kind: str, length: int = 4 * KIB) -> None:
    """Read what `wrote` put at `address`, which is next."""
    assert await tape.position() == address, "at %d, expected %d" % (await tape.position(), address)
    buffer = bytearray(length)
    if kind == "m":
        await raises(FileMark, tape.read(buffer))
    else:
        assert await tape.read(buffer) == length
        assert buffer == pattern(address, length), "block %d is not what was written: %r" % (address, bytes(buffer[:24]))


async def check_status(bench) -> None:
    tape = await bench.open()
    status = await tape.status()
    assert status.loaded and not status.write_protected
    assert status.vendor and status.product
    assert status.block_min <= 4 * KIB and status.block_max >= BLOCK, (status.block_min, status.block_max)
    await tape.close()


async def check_unknown_position(bench) -> None:
    """A drive that was never rewound stands anywhere."""
    tape = await bench.open()
    await raises(UnitAttention, tape.read(bytearray(KIB)))
    await raises(UnitAttention, tape.write(bytes(KIB)))
    await raises(UnitAttention, tape.position())
    await tape.rewind()
    assert await tape.position() == 0
    await tape.close()


async def check_blank(bench) -> None:
    tape = await bench.open()
    await tape.rewind()
    await raises(BlankCheck, tape.read(bytearray(BLOCK)))
    assert await tape.position() == 0
    await tape.write(pattern(0, KIB))
    assert await tape.position() == 1
    await raises(BlankCheck, tape.read(bytearray(KIB)))
    await tape.close()


async def check_sizes(bench) -> None:
    sizes = (BLOCK, 80, 4 * KIB, 64 * KIB, BLOCK, 512, 100 * KIB)
    tape = await bench.open()
    await tape.rewind()
    for number, size in enumerate(sizes):
        await tape.write(pattern(number, size))
    await tape.write_filemarks(1)
    await tape.rewind()
    for number, size in enumerate(sizes):
        buffer = bytearray(BLOCK)
        length = await tape.read(buffer)
        assert length == size if bench.reports_short else length >= size, (length, size)
        assert buffer[:size] == pattern(number, size)
    await raises(FileMark, tape.read(bytearray(BLOCK)))
    assert await tape.position() == len(sizes) + 1
    await tape.close()


async def check_wrong_length(bench) -> None:
    tape = await bench.open()
    await wrote(tape, "bbb")
    await tape.rewind()
    if bench.reports_length:
        error = await raises(WrongLength, tape.read(bytearray(KIB)))
        assert error.actual in (4 * KIB, None)
    else:
        assert await tape.read(bytearray(KIB)) == KIB
    await expect(tape, 1, "b")
    status = await tape.status()
    await raises(WrongLength, tape.write(bytes(status.block_max + 1)))
    await expect(tape, 2, "b")
    await tape.close()


LAYOUT = "bmbbbbmmbbbbbbbbm"


async def check_sequence(bench) -> None:
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    assert await tape.position() == len(LAYOUT)
    await tape.rewind()
    for address, kind in enumerate(LAYOUT):
        await expect(tape, address, kind)
    for _ in range(2):
        await raises(BlankCheck, tape.read(bytearray(4 * KIB)))
        assert await tape.position() == len(LAYOUT)
    await tape.close()


async def check_locate(bench) -> None:
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    for address in (5, 0, 16, 1, 8, 7, 9, 2, 6, 15, 3, 10, 0, 4, 11):
        await tape.locate(address)
        await expect(tape, address, LAYOUT[address])
    await tape.locate(len(LAYOUT))
    await raises(BlankCheck, tape.read(bytearray(4 * KIB)))
    await raises((BlankCheck, MediumError), tape.locate(len(LAYOUT) + 5))
    await tape.rewind()
    await tape.locate(3)
    await expect(tape, 3, "b")
    await tape.close()


async def check_space(bench) -> None:
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    await tape.rewind()
    await tape.space_filemarks(1)
    await expect(tape, 2, "b")
    await tape.space_filemarks(2)
    await expect(tape, 8, "b")
    await tape.space_filemarks(-1)
    await expect(tape, 7, "m")
    await tape.space_filemarks(-3)
    await expect(tape, 1, "m")
    await raises(BlankCheck, tape.space_filemarks(9))
    await tape.rewind()
    await expect(tape, 0, "b")
    await tape.close()


async def check_overwrite(bench) -> None:
    """Writing in the middle ends the data there."""
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    await tape.locate(4)
    await tape.write(pattern(1000, KIB))
    await tape.rewind()
    for address in range(4):
        await expect(tape, address, LAYOUT[address])
    buffer = bytearray(4 * KIB)
    length = await tape.read(buffer)
    assert length == KIB if bench.reports_short else length >= KIB, length
    assert buffer[:KIB] == pattern(1000, KIB)
    await raises(BlankCheck, tape.read(buffer))
    await tape.close()


async def check_reopen(bench) -> None:
    """Another initiator session finds what the first one wrote."""
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    again = await bench.again(tape)
    await again.rewind()
    await again.locate(8)
    await expect(again, 8, "b")
    await again.close()


async def check_unload(bench) -> None:
    if not bench.can_change:
        return
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    await tape.unload()
    assert not (await tape.status()).loaded
    await raises((NotReady, UnitAttention), tape.rewind())
    await raises((NotReady, UnitAttention), tape.read(bytearray(KIB)))
    await bench.reload(tape)
    assert (await tape.status()).loaded
    for address, kind in enumerate(LAYOUT):
        await expect(tape, address, kind)
    await tape.close()


async def check_locked(bench) -> None:
    """Locked in, everything works as before, on drives that cannot lock, too; `unload` ends it."""
    tape = await bench.open()
    await tape.rewind()
    for prevent in (True, True, False, False, True):
        await tape.prevent_removal(prevent)
    assert not bench.can_lock or not await bench.pull(tape)
    await wrote(tape, LAYOUT)
    await tape.rewind()
    for address, kind in enumerate(LAYOUT):
        await expect(tape, address, kind)
    await tape.prevent_removal(False)
    await tape.prevent_removal(True)
    if bench.can_change:
        await tape.unload()
        assert not (await tape.status()).loaded
        await bench.reload(tape)
    await tape.prevent_removal(False)
    assert not bench.can_lock or await bench.pull(tape)
    await tape.close()


async def check_protected(bench) -> None:
    if not bench.can_protect:
        return
    tape = await bench.open()
    await wrote(tape, LAYOUT)
    tape = await bench.protect(tape)
    assert (await tape.status()).write_protected
    await tape.rewind()
    await raises(WriteProtected, tape.write(bytes(KIB)))
    await raises(WriteProtected, tape.write_filemarks(1))
    for address in (0, 9, 2):
        await tape.locate(address)
        await expect(tape, address, "b")
    await tape.close()


async def check_end(bench) -> None:
    """Everything acknowledged before the end of the medium reads back; what did not fit is not there."""
    tape = await bench.small()
    await tape.rewind()
    count, warned, full = 0, False, None
    while full is None and count < 1000:
        try:
            warned = await tape.write(pattern(count, BLOCK)) or warned
            count += 1
        except EndOfMedium as error:
            full = error
        if bench.early and not bench.end_bytes and warned:
            break
    assert warned == bench.early and (full is not None) == bool(bench.end_bytes)
    assert count and (not bench.end_bytes or abs(count * BLOCK - bench.end_bytes) <= 2 * BLOCK), count
    await tape.rewind()
    for address in range(count):
        await expect(tape, address, "b", BLOCK)
    await raises((BlankCheck, MediumError), tape.read(bytearray(BLOCK)))
    await tape.close()


async def check_damage(bench) -> None:
    """A damaged block gives MediumError, with the position behind it or unknown, or other bytes; its neighbours are as written."""
    tape = await bench.open()
    await wrote(tape, "bbbbbbbbbb", BLOCK)
    await bench.damage(tape, 3, 2)
    await tape.rewind()
    hurt = []
    for address in range(10):
        buffer = bytearray(BLOCK)
        try:
            assert await tape.read(buffer) == BLOCK
            if buffer != pattern(address, BLOCK):
                hurt.append(address)
        except MediumError:
            hurt.append(address)
        assert await tape.position() == address + 1
    assert hurt == [3, 4], hurt
    await tape.close()


async def check_loop_runs(bench) -> None:
    """Nothing blocks the event loop: another task gets its turns while the drive works."""
    turns = []

    async def tick():
        while True:
            turns.append(1)
            await loop.sleep_ms(0)

    tape = await bench.open()
    ticker = asyncio.create_task(tick())
    await wrote(tape, "bbbbbbbbbbbbbbbbbbbbbbbb", BLOCK)
    await tape.rewind()
    for address in range(24):
        await expect(tape, address, "b", BLOCK)
    ticker.cancel()
    await tape.close()
    assert len(turns) >= 48, len(turns)


CASES = {
    "status": check_status,
    "unknown_position": check_unknown_position,
    "blank": check_blank,
    "sizes": check_sizes,
    "wrong_length": check_wrong_length,
    "sequence": check_sequence,
    "locate": check_locate,
    "space": check_space,
    "overwrite": check_overwrite,
    "reopen": check_reopen,
    "unload": check_unload,
    "locked": check_locked,
    "protected": check_protected,
    "end": check_end,
    "damage": check_damage,
    "loop_runs": check_loop_runs,
}
