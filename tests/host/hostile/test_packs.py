"""Packs, file objects and nodes that lie: about hashes, lengths, counts, sizes; zstd bombs. Each is refused, none leaves a trace."""

import struct

import pytest

from firmware.formats import dtf, fileobject, limits, message, pack
from tests.host.hostile import craft
from tests.host.hostile.stage import SECRET, begin, fresh
from tests.lab.wire import make_pack

_ITEM = fresh(5000)
_MIB = 1 << 20


def _refusal(stage, body) -> str:
    """Name of the refusal of one PACK frame; `body(grant)` or bytes."""
    with stage.hostile() as wire:
        grant = begin(wire)
        wire.send_body(message.PACK, body(grant) if callable(body) else body)
        wire.send("SYNC")
        return wire.refusal().name


def _lying(offset: int, code: str, value):
    """A good raw pack of two chunks with one field overwritten."""

    def body(grant) -> bytes:
        packed = bytearray(make_pack(pack.DATA, grant.group, grant.next_data, [_ITEM, _ITEM]))
        struct.pack_into(code, packed, offset, value)
        return bytes(packed)

    return body


_TABLE = pack.HEADER.size
_HEAD = {
    name: struct.calcsize("<" + "".join([row[1] for row in pack.HEADER.rows[:at]]))
    for at, (name, _) in enumerate(pack.HEADER.rows)
}

# what is overwritten, how, with what, refusals that are right
_LIES = [
    ("hash", _TABLE + 8, "<I", 1, "CORRUPT"),
    ("hash of the second", _TABLE + 2 * pack.LENGTH.size + pack.SUM.size + 4, "<I", 1, "CORRUPT"),
    ("length", _TABLE, "<I", len(_ITEM) + 1, "CORRUPT"),
    ("length 0", _TABLE, "<I", 0, "CORRUPT"),
    ("length huge", _TABLE, "<I", 0xFFFFFFFF, "CORRUPT"),
    ("kind", _HEAD["kind"], "B", 3, "CORRUPT"),
    ("codec", _HEAD["codec"], "B", 2, "CORRUPT"),
    ("codec zstd over raw", _HEAD["codec"], "B", pack.ZSTD, "CORRUPT"),
    ("count 0", _HEAD["count"], "<H", 0, "CORRUPT"),
    ("count 1", _HEAD["count"], "<H", 1, "CORRUPT"),
    ("count 1025", _HEAD["count"], "<H", 1025, "CORRUPT"),
    ("group of nobody", _HEAD["group"], "<I", 900, "PROTOCOL"),
    ("group 0", _HEAD["group"], "<I", 0, "PROTOCOL"),
    ("group of the victim", _HEAD["group"], "<I", 1, "PROTOCOL"),
    ("first", _HEAD["first"], "<I", 7, "PROTOCOL"),
    ("first at the end of numbers", _HEAD["first"], "<I", 0xFFFFFFFF, "CORRUPT"),
    ("raw_bytes", _HEAD["raw_bytes"], "<I", 2 * len(_ITEM) + 1, "CORRUPT"),
    ("raw_bytes huge", _HEAD["raw_bytes"], "<I", 0xFFFFFFFF, "CORRUPT"),
    ("stored_bytes", _HEAD["stored_bytes"], "<I", 0, "CORRUPT"),
    ("stored_bytes huge", _HEAD["stored_bytes"], "<I", 0xFFFFFFFF, "CORRUPT"),
]


@pytest.mark.parametrize("lie", _LIES, ids=lambda lie: lie[0])
def test_a_pack_that_lies(stage, lie):
    _, offset, code, value, expected = lie
    assert _refusal(stage, _lying(offset, code, value)) == expected


def _zeros(count: int) -> list:
    return [bytes(limits.CHUNK_BYTES)] * (count // limits.CHUNK_BYTES)


def _bomb(blocks: int, size_field: bytes, window_log: int = 20) -> bytes:
    """A frame whose content is `blocks` x 128 KiB of zeros, 4 bytes each."""
    parts = [craft.rle_block(0, 1 << 17, at == blocks - 1) for at in range(blocks)]
    return craft.zstd_frame(window_log, size_field, b"".join(parts))


# name, frame, bytes that the header promises
_BOMBS = [
    ("1 GiB, no content size", _bomb(8192, b""), _MIB),
    ("1 GiB, honest content size", _bomb(8192, struct.pack("<Q", 1 << 30)), _MIB),
    ("1 GiB, lying content size", _bomb(8192, struct.pack("<Q", _MIB)), _MIB),
    ("content size 2^63", _bomb(8, struct.pack("<Q", 1 << 63)), _MIB),
    ("content size 2^64-1, which means unknown", _bomb(9, b"\xff" * 8), _MIB),
    ("window of 2 TiB", _bomb(9, b"", 41), _MIB),
    ("window of 1 GiB", _bomb(9, struct.pack("<Q", 9 << 17), 30), _MIB),
    ("less than promised", _bomb(4, b""), _MIB),
    ("two frames", craft.zstd(bytes(_MIB // 2)) * 2, _MIB),
    ("a skippable frame", b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip" + craft.zstd(bytes(_MIB)), _MIB),
    ("bytes behind the frame", craft.zstd(bytes(_MIB)) + b"x", _MIB),
    ("cut", craft.zstd(bytes(_MIB))[:-2], _MIB),
    ("nothing", b"", _MIB),
    ("reserved block", craft.zstd_frame(20, b"", b"\x07\x00\x00"), _MIB),
]


@pytest.mark.parametrize("bomb", _BOMBS, ids=lambda bomb: bomb[0])
def test_zstd_bombs(stage, bomb):
    _, frame, promised = bomb

    def body(grant) -> bytes:
        return craft.framed(pack.DATA, grant.group, grant.next_data, _zeros(promised), frame)

    assert _refusal(stage, body) == "CORRUPT"


def test_a_frame_of_two_terabytes_of_window_that_is_right_otherwise(stage):
    """RFC 8878 lets a small frame claim any window. In one pass the target is the window: it costs nothing, and may be refused or taken."""
    with stage.hostile() as wire:
        grant = begin(wire)
        frame = _bomb(8, b"", 41)
        wire.send_body(message.PACK, craft.framed(pack.DATA, grant.group, grant.next_data, _zeros(_MIB), frame))
        wire.send("SYNC")
        assert wire.receive()[0] in ("SYNCED", "ERROR")


def _file(data: bytes = _ITEM, runs=None, **lies):
    """A file object of one chunk that was sent, as a pack body after it."""

    def body(grant) -> bytes:
        return craft.file_object(data, runs(grant) if runs else [(grant.group, grant.next_data, 1)], **lies)

    return body


_HUGE = (1 << 64) - 1

# name, file object, refusal
_OBJECTS = [
    ("size", _file(size=4999), "PROTOCOL"),
    ("size 2^64-1", _file(size=_HUGE, chunk_bytes=1 << 17), "PROTOCOL"),
    ("chunk_bytes", _file(chunk_bytes=8192), "PROTOCOL"),
    ("chunk_bytes 0", _file(chunk_bytes=0), "PROTOCOL"),
    ("chunk_bytes huge", _file(chunk_bytes=0xFFFFFFFF), "PROTOCOL"),
    ("flags", _file(flags=2), "PROTOCOL"),
    ("signature", _file(signature=bytes(32)), "CORRUPT"),
    ("signature of another file", _file(signature=craft.signature(SECRET[b"letter"])), "CORRUPT"),
    ("chunks never sent", _file(runs=lambda grant: [(grant.group, grant.next_data, 2)]), "NOT_FOUND"),
    ("chunks far away", _file(runs=lambda grant: [(grant.group, 0xFFFFFFF0, 8)]), "NOT_FOUND"),
    ("count past the end of numbers", _file(runs=lambda grant: [(grant.group, 0xFFFFFFF0, 0x7FFFFFFF)]), "PROTOCOL"),
    ("run of nothing", _file(runs=lambda grant: [(grant.group, grant.next_data, 0)]), "PROTOCOL"),
    ("hole of 2^64-1", _file(runs=lambda grant: [fileobject.hole(_HUGE)], size=_HUGE, chunk_bytes=1 << 17), "CORRUPT"),
    ("65,536 holes of 2^64-1", _file(runs=lambda grant: [fileobject.hole(_HUGE)] * 65536), "PROTOCOL"),
]


@pytest.mark.parametrize("case", _OBJECTS, ids=lambda case: case[0])
def test_file_objects_that_lie(stage, case):
    _, made, expected = case
    with stage.hostile() as wire:
        grant = begin(wire)
        craft.send(wire, pack.DATA, grant, [_ITEM])
        craft.send(wire, pack.FILES, grant, [made(grant)])
        wire.send("SYNC")
        assert wire.refusal().name == expected


def _raw_node(kind: int, count: int, refs: bytes) -> bytes:
    return dtf.NODE.pack(kind, count) + refs


# name, item of kind NODES, refusal
_NODES = [
    ("count of 2^32-1", _raw_node(dtf.LIST, 0xFFFFFFFF, b""), "PROTOCOL"),
    ("count over the limit", _raw_node(dtf.LIST, 4097, bytes(9 * 4097)), "PROTOCOL"),
    ("count above the references", _raw_node(dtf.LIST, 3, bytes(9 * 2)), "PROTOCOL"),
    ("kind", _raw_node(7, 0, b""), "PROTOCOL"),
    ("kind of reference", _raw_node(dtf.LIST, 1, dtf.REF.pack(9, 1, 1)), "PROTOCOL"),
    ("file in an index", _raw_node(dtf.INDEX, 1, dtf.REF.pack(dtf.FILE, 1, 1)), "PROTOCOL"),
    ("nothing", b"", "PROTOCOL"),
    ("a reference to itself", None, "PROTOCOL"),
    ("a reference to what comes later", _raw_node(dtf.LIST, 1, dtf.REF.pack(dtf.NODE_REF, 0xFFFFFFFF, 0)), "PROTOCOL"),
    ("a file that was not sent", "file", "NOT_FOUND"),
]


@pytest.mark.parametrize("case", _NODES, ids=lambda case: case[0])
def test_nodes_that_lie(stage, case):
    _, item, expected = case
    with stage.hostile() as wire:
        grant = begin(wire)
        if item is None:
            item = craft.node([(dtf.NODE_REF, grant.group, grant.next_node)])
        elif item == "file":
            item = craft.node([(dtf.FILE, grant.group, grant.next_file)])
        craft.send(wire, pack.NODES, grant, [item])
        wire.send("SYNC")
        assert wire.refusal().name == expected


def test_a_pack_sent_twice_and_one_sent_late(stage):
    for firsts in ((0, 0), (1, 0)):
        with stage.hostile() as wire:
            grant = begin(wire)
            for first in firsts:
                craft.send(wire, pack.DATA, grant, [_ITEM], grant.next_data + first)
            wire.send("SYNC")
            assert wire.refusal().name == "PROTOCOL"


def test_a_wrong_hash_poisons_nobody(stage):
    """The intruder sends its own bytes under the hash of the victim's chunk, then the victim's next backup shares nothing of it."""
    wanted = SECRET[b"letter"]

    def body(grant) -> bytes:
        packed = bytearray(make_pack(pack.DATA, grant.group, grant.next_data, [bytes(len(wanted))]))
        packed[_TABLE + 8 : _TABLE + 40] = craft.blake2b(wanted)
        return bytes(packed)

    assert _refusal(stage, body) == "CORRUPT"
