"""The raw region of the data disk: a superblock, then segments of equal size.

    region  := SUPERBLOCK at 0 and at BLOCK (two copies), padding to SUPERBLOCK_BYTES, segments
    segment := records one after the other, each RECORD then its body, each padded to ALIGN; where a flush ended a block early,
               zeros up to the next BLOCK; a MAP record first, a FOOTER record last; TRAILER in the last BLOCK once it is sealed
    address of a byte := SUPERBLOCK_BYTES + segment number * SUPERBLOCK.segment_bytes + offset in the segment

A segment is written once from front to end. Whoever scans one stops at the first record whose check fails, whose segment number
differs, or whose sequence number is not above that of the record before: what follows is left over from before a power cut.
Sequence numbers rise over the whole store; their upper 24 bits count the times it was opened.
"""

from firmware.formats.record import Bytes, Record, Rows

BLOCK = 4096
ALIGN = 8
SUPERBLOCK_BYTES = 1 << 20
SUPERBLOCK_COPIES = (0, BLOCK)
SUPERBLOCK_MAGIC = b"BOBBIN-S"
VERSION = 2
RECORD_MAGIC = b"BSR1"
SEQUENCE_BITS = 40  # of a sequence number, below the count of opens

# (capacity up to this many bytes, segment bytes): thousands of segments, each far larger than a pack
SEGMENT_TABLE = ((8 << 30, 8 << 20), (1 << 40, 32 << 20), (1 << 64, 64 << 20))

SUPERBLOCK = Record(
    "disk.SUPERBLOCK",
    (
        ("magic", "8s"),
        ("version", "I"),
        ("uuid", "16s"),
        ("segment_bytes", "I"),
        ("segments", "I"),
        ("created_ns", "q"),
        ("crc", "I"),
    ),
    "crc: CRC-32C of the fields before it.",
)

# RECORD.kind
PACK = 1  # body: a pack as firmware/formats/pack.py
COMMIT = 2  # body: COMMIT_BODY; the view exists from here on, or is changed
CLIENT = 3  # body: CLIENT_BODY; replaces an earlier one of the same id
# 4 and 5 are retired: that a view or a client was deleted must not be forgotten with the segment that says so; CLIENT and ROSTER
# list what there is, and count as long as nothing newer does
FOOTER = 6  # body: FOOTER_BODY
MAP = 30  # body: MAP_BODY; opens each segment, and follows in those that are continued when the store is opened
ROSTER = 31  # body: ROSTER_BODY; replaces an earlier one
TRAILER = 32  # body: TRAILER_BODY; only in the last BLOCK of a segment, no part of the chain of records

RECORD = Record(
    "disk.RECORD",
    (("magic", "4s"), ("kind", "B"), ("sequence", "Q"), ("segment", "I"), ("length", "I"), ("crc", "I")),
    "Opens a record; `length` bytes of body follow. crc: CRC-32C of the fields before it, continued over the body.",
)

CLIENT_ROWS = 16384

LISTED = Record("disk.LISTED", (("number", "I"),), "A view, a BDF or a client.")

COMMIT_BODY = Record(
    "disk.COMMIT_BODY",
    (
        ("client", "I"),
        ("view", "I"),
        ("group", "I"),
        ("root_group", "I"),
        ("root_index", "I"),
        ("time_ns", "q"),
        ("files", "Q"),
        ("bytes", "Q"),
        ("stored_bytes", "Q"),
        ("label", "64s"),
        ("kind", "B"),
        ("first_group", "I"),
        ("attic_group", "I"),
        ("attic_index", "I"),
        ("attic_ns", "q"),
    ),
    "A backup of BDF `group` is complete and is this view; fields as catalog.VIEW. After earlier views were folded into it, another "
    "COMMIT replaces it.",
)

CLIENT_BODY = Record(
    "disk.CLIENT_BODY",
    (
        ("client", "I"),
        ("uuid", "16s"),
        ("token_hash", "32s"),
        ("created_ns", "q"),
        ("name", "64s"),
        ("next_view", "I"),
        ("views", Rows(LISTED, CLIENT_ROWS)),
        ("groups", Rows(LISTED, CLIENT_ROWS)),
    ),
    "name: UTF-8, zero padded. token_hash: BLAKE2b-256 of the token, zeros while unpaired. views: those below next_view that are "
    "not deleted. groups: BDFs of this client, at least those whose COMMIT record is gone.",
)

ROSTER_BODY = Record(
    "disk.ROSTER_BODY",
    (("next_client", "I"), ("clients", Rows(LISTED, CLIENT_ROWS))),
    "Clients below next_client that were not removed.",
)

MAP_BODY = Record(
    "disk.MAP_BODY",
    (("area", "B"), ("used", Bytes(1 << 17))),
    "area: of this segment, catalog.SEGMENT. used: a bit for each segment of the store, the lowest first: 0 if it held nothing of "
    "worth when this was written.",
)

TRAILER_BODY = Record(
    "disk.TRAILER_BODY", (("footer", "I"),), "Offset of the FOOTER record, whose sequence number this record repeats."
)

FOOTER_ROW = Record(
    "disk.FOOTER_ROW",
    (
        ("kind", "B"),
        ("items", "B"),
        ("count", "H"),
        ("offset", "I"),
        ("length", "I"),
        ("group", "I"),
        ("first", "I"),
        ("crc", "I"),
    ),
    "One record of the segment: RECORD.kind, place, RECORD.length and crc; of a pack also pack.HEADER's kind, count, group, first.",
)

FOOTER_ROWS = 65536

FOOTER_BODY = Record("disk.FOOTER_BODY", (("rows", Rows(FOOTER_ROW, FOOTER_ROWS)),), "The table of a sealed segment.")


def segment_bytes(capacity_bytes: int) -> int:
    """Segment size for a region of this size."""
    for bound, size in SEGMENT_TABLE:
        if capacity_bytes <= bound:
            return size
    return SEGMENT_TABLE[-1][1]
