"""A pack: up to 1024 items compressed together. The same bytes travel in a PACK frame, lie in a segment and go to tape.

An item is a chunk of file data (kind DATA), a file object (FILES) or a DTF node (NODES). Items are numbered within their
group: the backup, whose BDF id is the group id, counts each kind from 0. (kind, group, index) names an item for ever.

    pack := HEADER, HEADER.count x LENGTH, HEADER.count x SUM, payload of HEADER.stored_bytes
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

LENGTH = Record("pack.LENGTH", (("length", "I"),), "One item's length in bytes.")

SUM = Record(
    "pack.SUM",
    (("weak", "4s"), ("hash", "32s")),
    "One item: RabinKarp rolling sum, big-endian, and BLAKE2b-256: a row of librsync's signature with 32 strong bytes. Zeros for "
    "an item of no bytes. Its fingerprint is weak and the first 8 bytes of hash.",
)
ROW_BYTES = LENGTH.size + SUM.size  # of the table, an item
NOTHING = bytes(SUM.size)  # the SUM of an item of no bytes
_COUNT_AT = 2  # of HEADER.count


def front(count: int) -> int:
    """Bytes before the payload of a pack of `count` items."""
    return HEADER.size + count * ROW_BYTES


def check(body):
    """(header, lengths, payload offset) of a pack that is exactly `body`; `lengths`: tuple of bytes of each item. Raises FormatError.

    Checks every length against the limits and against each other, before anything is allocated or decoded.
    """
    header, _ = HEADER.unpack_from(body)
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
    payload = front(header.count)
    if payload + header.stored_bytes != len(body):
        raise FormatError("pack: expected %d bytes, got %d" % (payload + header.stored_bytes, len(body)))
    given = lengths(body, 0, header.count)
    total = sum(given)
    if total != header.raw_bytes:
        raise FormatError("pack.LENGTH.length: expected a sum of %d, got %d" % (header.raw_bytes, total))
    return header, given, payload


def lengths(body, start: int, end: int) -> tuple:
    """Bytes of items start .. end-1 (0-based within the pack)."""
    return struct.unpack_from("<%dI" % (end - start), body, HEADER.size + start * LENGTH.size)


def sums(body, start: int, end: int):
    """View of the SUMs of items start .. end-1, one after the other."""
    (count,) = struct.unpack_from("<H", body, _COUNT_AT)
    at = HEADER.size + count * LENGTH.size
    return memoryview(body)[at + start * SUM.size : at + end * SUM.size]


def part(body, start: int, end: int) -> bytes:
    """The table of a pack of items start .. end-1 alone."""
    at = HEADER.size + start * LENGTH.size
    return bytes(body[at : at + (end - start) * LENGTH.size]) + bytes(sums(body, start, end))


def table(lengths: list, sums) -> bytes:
    """The table of items of `lengths` bytes each, whose SUMs are the byte strings `sums`."""
    return struct.pack("<%dI" % len(lengths), *lengths) + b"".join(sums)


def stretches(lengths: tuple):
    """Yield (first, end, bytes of the first): items that one signature of librsync covers, equally long but the last, which may be shorter."""
    first, count = 0, len(lengths)
    while first < count:
        size, end = lengths[first], first + 1
        while end < count and lengths[end] == size:
            end += 1
        if end < count and 0 < lengths[end] < size:
            end += 1
        yield first, end, size
        first = end
