"""Whole structures made of several Records: what builds each golden file, and what reads it back and checks it.

The builders run only when a golden file is recorded; the readers are written against the documented layout and run under both
interpreters.
"""

import binascii

from firmware.formats import config, dtf, fileobject, pack, pairing, rfe, tape
from hal.linux.rwp import NativeProcessor

_ITEMS = (b"first chunk " * 100, b"", b"\0" * 4096, bytes(range(256)) * 3)
_CERTIFICATE = bytes(range(32))
_NONCE = b"nonce of 16 byte"
_NAME = b"name \xff\n of a file"
_ENTRIES = (
    # (ENTRY values but the three lengths, name, target, [(extra name, value)], reference)
    ((dtf.REGULAR, dtf.HARD_LINK, dtf.SNAPSHOT, 0o4755, 1000, 100, -1, 1700000000123456789, 66306, 77, 1 << 40),
     _NAME, b"", [(b"user.mime", b"text/plain"), (b"bobbin.user", b"root")], (dtf.FILE, 9, 3)),
    ((dtf.SYMLINK, 0, dtf.UNGUARDED, 0o777, 0, 0, 0, 0, 66306, 78, 0), b"name z", b"../there", [], (dtf.NOTHING, 0, 0)),
)  # fmt: skip


def _build_pack(codec: int) -> bytes:
    processor = NativeProcessor()
    raw = b"".join(_ITEMS)
    room = bytearray(len(raw) + 512)
    stored = bytes(room[: processor.compress(raw, room)]) if codec == pack.ZSTD else raw
    sums = [bytes(processor.sums(item, len(item))) or pack.NOTHING for item in _ITEMS]
    head = pack.HEADER.pack(pack.DATA, codec, len(_ITEMS), 9, 1000, len(raw), len(stored))
    return head + pack.table([len(item) for item in _ITEMS], sums) + stored


def _read_pack(data: bytes) -> None:
    processor = NativeProcessor()
    header, lengths, payload = pack.check(data)
    assert (header.kind, header.count, header.group, header.first) == (pack.DATA, len(_ITEMS), 9, 1000)
    raw = bytearray(header.raw_bytes)
    if header.codec == pack.ZSTD:
        assert processor.decompress(memoryview(data)[payload:], raw) == len(raw)
    else:
        raw[:] = data[payload:]
    at = 0
    for position, length in enumerate(lengths):
        assert bytes(pack.sums(data, position, position + 1)) == (
            bytes(processor.sums(raw[at : at + length], length)) or pack.NOTHING
        )
        assert bytes(raw[at : at + length]) == _ITEMS[position]
        at += length


def _build_file() -> bytes:
    runs = [(9, 0, 3), fileobject.hole((5 << 32) + 6), (9, 3, 1)]
    return fileobject.FILE.pack((5 << 32) + 6 + 4 * 8192, 8192, 0, 0xCAFEBABE, 8, 2, b"s" * 32, runs)


def _read_file(data: bytes) -> None:
    file = fileobject.FILE.unpack(data)
    assert (file.size, file.chunk_bytes, file.crc) == ((5 << 32) + 6 + 4 * 8192, 8192, 0xCAFEBABE)
    assert (file.base_group, file.base_index, file.signature) == (8, 2, b"s" * 32)
    assert [tuple(run) for run in file.runs] == [(9, 0, 3), (0, 5, 6), (9, 3, 1)]
    assert fileobject.hole_bytes(file.runs[1]) == (5 << 32) + 6


def _build_list() -> bytes:
    parts = [dtf.NODE.pack(dtf.LIST, len(_ENTRIES))]
    parts += [dtf.REF.pack(*entry[4]) for entry in _ENTRIES]
    for values, name, target, extras, _ in _ENTRIES:
        more = b"".join([dtf.EXTRA.pack(*extra) for extra in extras])
        parts += [dtf.ENTRY.pack(*values, len(name), len(target), len(more)), name, target, more]
    return b"".join(parts)


def _read_list(data: bytes) -> None:
    node, at = dtf.NODE.unpack_from(data)
    assert (node.kind, node.count) == (dtf.LIST, len(_ENTRIES))
    for entry in _ENTRIES:
        ref, at = dtf.REF.unpack_from(data, at)
        assert tuple(ref) == entry[4]
    for values, name, target, extras, _ in _ENTRIES:
        head, at = dtf.ENTRY.unpack_from(data, at)
        assert tuple(head)[: len(values)] == values
        assert data[at : at + head.name_bytes] == name
        at += head.name_bytes
        assert data[at : at + head.target_bytes] == target
        at += head.target_bytes
        end = at + head.extras_bytes
        for extra in extras:
            found, at = dtf.EXTRA.unpack_from(data, at)
            assert tuple(found) == extra
        assert at == end
    assert at == len(data)


def _build_index() -> bytes:
    names = (b"aardvark", b"m\xff")
    parts = [dtf.NODE.pack(dtf.INDEX, 2), dtf.REF.pack(dtf.NODE_REF, 9, 0), dtf.REF.pack(dtf.NODE_REF, 9, 1)]
    return b"".join(parts + [len(name).to_bytes(2, "little") + name for name in names])


def _read_index(data: bytes) -> None:
    node, at = dtf.NODE.unpack_from(data)
    assert (node.kind, node.count) == (dtf.INDEX, 2)
    assert tuple(dtf.REF.unpack_from(data, at + dtf.REF.size)[0]) == (dtf.NODE_REF, 9, 1)
    assert data[at + 2 * dtf.REF.size :] == b"\x08\0aardvark\x02\0m\xff"


def _proof(label: bytes, secret: str) -> bytes:
    return NativeProcessor().blake2b(pairing.statement(label, _CERTIFICATE, _NONCE), secret.encode())


def _build_pairing() -> bytes:
    secret = pairing.encode(0xABCDEF012345678, pairing.SECRET_CHARS)
    code = pairing.format_code(pairing.fingerprint_part(_CERTIFICATE), secret)
    return code.encode() + _proof(pairing.AGENT_LABEL, secret) + _proof(pairing.APPLIANCE_LABEL, secret)


def _read_pairing(data: bytes) -> None:
    shown = data[:19].decode()
    for typed in (shown, shown.lower(), shown.replace("-", " "), shown.replace("-", "").replace("0", "o").replace("1", "L")):
        fingerprint, secret = pairing.parse_code(typed)
        assert fingerprint == pairing.fingerprint_part(_CERTIFICATE)
        assert data[19:51] == _proof(pairing.AGENT_LABEL, secret)
        assert data[51:] == _proof(pairing.APPLIANCE_LABEL, secret)
    assert pairing.parse_code(shown[:-1]) is None and pairing.parse_code(shown[:-1] + "U") is None


def _build_rfe() -> bytes:
    key = rfe.KEY.pack(123456789, -5) + _NAME
    return key + (binascii.crc32(key) & 0xFFFFFFFF).to_bytes(4, "big") + rfe.ENTRY.pack(3, 9, 123456789, b"signatur")


def _read_rfe(data: bytes) -> None:
    key = data[: -4 - rfe.ENTRY.size]
    values, at = rfe.KEY.unpack_from(key)
    assert tuple(values) == (123456789, -5) and key[at:] == _NAME
    assert int.from_bytes(data[len(key) : len(key) + 4], "big") == binascii.crc32(key) & 0xFFFFFFFF
    assert tuple(rfe.ENTRY.unpack(data[len(key) + 4 :])) == (3, 9, 123456789, b"signatur")


def _slot_crc(head: bytes, content: bytes) -> int:
    return binascii.crc32(head[config.CRC_FROM : config.CRC_TO] + content) & 0xFFFFFFFF


def _build_slot() -> bytes:
    content = b"appliance.name=box\nlan.port=7171\n"
    head = config.SLOT.pack(config.MAGIC, 41, len(content), 0)
    return config.SLOT.pack(config.MAGIC, 41, len(content), _slot_crc(head, content)) + content


def _read_slot(data: bytes) -> None:
    slot, at = config.SLOT.unpack_from(data)
    assert (slot.magic, slot.generation, slot.length) == (config.MAGIC, 41, len(data) - at)
    assert slot.crc == _slot_crc(data, data[at:])
    assert data[at:] == b"appliance.name=box\nlan.port=7171\n"


def _build_ansi() -> bytes:
    return tape.pack_vol1("monday 7") + tape.pack_hdr1("monday 7", 12, "025032", "099365")


def _read_ansi(data: bytes) -> None:
    assert data == _build_ansi() and len(data) == 2 * tape.ANSI_BYTES
    serial, implementation = tape.parse_vol1(data[: tape.ANSI_BYTES])
    assert serial == "MONDAY" and tape.is_ours(implementation)
    assert tape.parse_vol1(data[tape.ANSI_BYTES :]) is None


# name of the golden file, builder, reader
STRUCTURES = (
    ("pack-raw", lambda: _build_pack(pack.RAW), _read_pack),
    ("pack-zstd", lambda: _build_pack(pack.ZSTD), _read_pack),
    ("file-object", _build_file, _read_file),
    ("dtf-list", _build_list, _read_list),
    ("dtf-index", _build_index, _read_index),
    ("pairing", _build_pairing, _read_pairing),
    ("rfe", _build_rfe, _read_rfe),
    ("config-slot", _build_slot, _read_slot),
    ("tape-ansi", _build_ansi, _read_ansi),
)
