"""A pack: up to 1024 items compressed together. The same bytes travel in a PACK frame, lie in a segment and go to tape.

An item is a chunk of file data (kind DATA), a file object (FILES) or a DTF node (NODES). Items are numbered within their
group: the backup, whose BDF id is the group id, counts each kind from 0. (kind, group, index) names an item for ever.

    pack := HEADER, HEADER.count x ITEM, payload of HEADER.stored_bytes
"""

import struct

from firmware.formats import limits
from firmware.formats.record import FormatError, Record

DATA = 0
FILES = 1
NODES = 2
KINDS = (DATA, FILES, NODES)
KIND_NAMES = ("chunk", "file object", "node")

RAW = 0  # payload is the items one after the other
ZSTD = 1  # payload is one zstd frame of them (RFC 8878), content size present, window at most PACK_RAW_BYTES

HEADER = Record(
    "pack.HEADER",
    (
        ("kind", "B"),
        ("codec", "B"),
        ("count", "H"),
        ("group", "I"),
        ("first", "I"),
        ("raw_bytes", "I"),
        ("stored_bytes", "I"),
    ),
    "Opens a pack: items first .. first+count-1 of one kind in one group.",
)

ITEM = Record(
    "pack.ITEM",
    (("length", "I"), ("weak", "I"), ("hash", "32s")),
    "One item: length in bytes, RabinKarp rolling sum as librsync (0 for files and nodes), BLAKE2b-256. "
    "Its fingerprint is weak and the first 8 bytes of hash.",
)


def check(body):
    """(header, table offset, payload offset) of a pack that is exactly `body`. Raises FormatError.

    Checks every length against the limits and against each other, before anything is allocated or decoded.
    """
    header, table = HEADER.unpack_from(body)
    if header.kind not in KINDS:
        raise FormatError("pack.HEADER.kind: expected 0 to 2, got %d" % header.kind)
    if header.codec not in (RAW, ZSTD):
        raise FormatError("pack.HEADER.codec: expected 0 or 1, got %d" % header.codec)
    if not 0 < header.count <= limits.PACK_ITEMS:
        raise FormatError("pack.HEADER.count: expected 1 to %d, got %d" % (limits.PACK_ITEMS, header.count))
    if header.first + header.count > 0xFFFFFFFF:
        raise FormatError("pack.HEADER.first: expected room for %d items, got %d" % (header.count, header.first))
    if header.raw_bytes > limits.PACK_RAW_BYTES:
        raise FormatError("pack.HEADER.raw_bytes: expected at most %d, got %d" % (limits.PACK_RAW_BYTES, header.raw_bytes))
    if header.codec == RAW and header.stored_bytes != header.raw_bytes:
        raise FormatError("pack.HEADER.stored_bytes: expected %d, got %d" % (header.raw_bytes, header.stored_bytes))
    payload = table + header.count * ITEM.size
    if payload + header.stored_bytes != len(body):
        raise FormatError("pack: expected %d bytes, got %d" % (payload + header.stored_bytes, len(body)))
    total = sum(lengths(body, header.count))
    if total != header.raw_bytes:
        raise FormatError("pack.ITEM.length: expected a sum of %d, got %d" % (header.raw_bytes, total))
    return header, table, payload


def lengths(body, count: int):
    """The `count` item lengths of a pack, in bytes."""
    return [struct.unpack_from("<I", body, at)[0] for at in range(HEADER.size, HEADER.size + count * ITEM.size, ITEM.size)]


def item_length(body, position: int) -> int:
    """Length in bytes that the table gives for the item at `position` (0-based within the pack)."""
    return struct.unpack_from("<I", body, HEADER.size + position * ITEM.size)[0]


def item_hash(body, position: int) -> bytes:
    """BLAKE2b-256 that the table gives for the item at `position` (0-based within the pack)."""
    at = HEADER.size + position * ITEM.size + 8
    return bytes(body[at : at + 32])
