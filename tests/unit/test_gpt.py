"""hal.linux.gpt: what is built reads back, and a damaged table is refused."""

import struct

from hal.errors import CorruptData
from hal.linux import gpt

_MIB = 1 << 20
_PARTS = [(gpt.CATALOG_TYPE, "bobbin-catalog", _MIB, 8 * _MIB), (gpt.STORE_TYPE, "bobbin-store", 9 * _MIB, 20 * _MIB)]


def _built(sector_bytes: int):
    start, end = gpt.build(32 * _MIB, sector_bytes, _PARTS)
    return bytearray(start), bytearray(end)


def test_round_trip_with_both_sector_sizes():
    for sector_bytes in (512, 4096):
        start, _ = _built(sector_bytes)
        found = gpt.parse(bytes(start), sector_bytes)
        assert [(one.number, one.kind, one.start, one.size_bytes) for one in found] == [
            (1, gpt.CATALOG_TYPE, _MIB, 8 * _MIB),
            (2, gpt.STORE_TYPE, 9 * _MIB, 20 * _MIB),
        ]
        assert found[0].guid != found[1].guid


def test_backup_header_points_back():
    start, end = _built(512)
    assert len(start) == 34 * 512 and len(end) == 33 * 512
    own, other = struct.unpack("<QQ", bytes(end[-512:])[24:40])
    assert (own, other) == (32 * _MIB // 512 - 1, 1)
    assert bytes(start[510:512]) == b"\x55\xaa" and start[450] == 0xEE


def test_a_damaged_table_is_refused():
    for at in (512 + 40, 512 + 88, 1024 + 5):
        start, _ = _built(512)
        start[at] ^= 1
        try:
            gpt.parse(bytes(start), 512)
        except CorruptData:
            continue
        raise AssertionError("byte %d changed and nobody noticed" % at)


def test_no_table_is_no_error():
    assert gpt.parse(bytes(34 * 512), 512) == []
    assert gpt.parse(b"", 512) == []


def test_guids_are_mixed_endian():
    text = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert gpt.guid_bytes(text)[:8] == b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11"
    assert gpt.guid_text(gpt.guid_bytes(text)) == text
    assert gpt.random_guid()[14] == "4"


def test_partitions_that_do_not_fit_are_refused():
    for part in ((gpt.STORE_TYPE, "x", 0, _MIB), (gpt.STORE_TYPE, "x", _MIB, 40 * _MIB), (gpt.STORE_TYPE, "x", _MIB + 1, _MIB)):
        try:
            gpt.build(32 * _MIB, 512, [part])
        except ValueError:
            continue
        raise AssertionError("%r was accepted" % (part,))
