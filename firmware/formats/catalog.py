"""The catalog: an index over the segments, kept in an ordered key-value database (LMDB), dumped to tape as it is.

Keys are big-endian so that they sort as numbers; values are Records. Everything here can be rebuilt from the segments.
"""

import struct

from firmware.formats.record import Record

META = "meta"  # name -> value: see the META_ constants
CLIENTS = "clients"  # client -> CLIENT
VIEWS = "views"  # client, view -> VIEW
GROUPS = "groups"  # BDF id -> GROUP
PACKS = "packs"  # kind, group, first -> PACK
REFS = "refs"  # kind, group, index -> u32 count of references; every live file object and node has one
GRANTS = "grants"  # group, index, client -> "": this client proved that it holds the file object
RFE = "rfe"  # CRC -> rfe.ENTRY, several
SEGMENTS = "segments"  # segment -> SEGMENT; absent: free
GARBAGE = (
    "garbage"  # kind, group, index -> "": nothing refers to it, to be freed; kind GROUP_MARK: a whole group to look through
)
DAMAGE = "damage"  # key of PACKS -> FAULT; then, per use, that key, group, index of a file object, position in the pack -> USE

TABLES = (META, CLIENTS, VIEWS, GROUPS, PACKS, REFS, GRANTS, RFE, SEGMENTS, GARBAGE, DAMAGE)
DUPLICATES = (RFE,)

META_UUID = b"uuid"  # of the store, 16 bytes
META_EPOCH = b"epoch"  # NUMBER: times the store was opened
META_CLIENT = b"next client"  # NUMBER
META_GROUP = b"next group"  # NUMBER
META_MERGE = b"merge"  # NUMBER: BDF id of the merge under way; absent if there is none
META_SCRUB = b"scrub"  # SCRUB
META_ROSTER = b"roster"  # PLACE of the newest ROSTER record; absent as long as no client was removed

NUMBER = Record("catalog.NUMBER", (("value", "I"),), "A counter or a count of references.")

PLACE = Record("catalog.PLACE", (("segment", "I"), ("length", "I")), "Where a record lies and its bytes on disk.")

CLIENT = Record(
    "catalog.CLIENT",
    (
        ("uuid", "16s"),
        ("token_hash", "32s"),
        ("created_ns", "q"),
        ("name", "64s"),
        ("next_view", "I"),
        ("pending", "I"),
        ("segment", "I"),
        ("length", "I"),
    ),
    "pending: BDF id of the backup under way, 0 if none. segment, length: where its CLIENT record lies and its bytes on disk.",
)

VIEW = Record(
    "catalog.VIEW",
    (
        ("root_group", "I"),
        ("root_index", "I"),
        ("group", "I"),
        ("time_ns", "q"),
        ("files", "Q"),
        ("bytes", "Q"),
        ("stored_bytes", "Q"),
        ("segment", "I"),
        ("length", "I"),
        ("label", "64s"),
        ("kind", "B"),
        ("first_group", "I"),
        ("attic_group", "I"),
        ("attic_index", "I"),
        ("attic_ns", "q"),
    ),
    "segment, length: where its COMMIT record lies and its bytes on disk. label: UTF-8, zero padded. first_group: the oldest BDF "
    "folded into it. attic: root of the tree of files deleted up to then (firmware/formats/dtf.py), group 0 if none, and its "
    "oldest deletion.",
)

# VIEW.kind
HOURLY = 0  # as a backup made it
DAILY = 1  # the last one of a day, with what was deleted during it
BASELINE = 2  # the oldest one
VIEW_NAMES = ("hourly", "daily", "baseline")

GROUP_MARK = 3  # beside pack.KINDS in keys of GARBAGE; index 0

# GROUP.state
PENDING = 0  # a backup under way or cut; visible to its own client only
SWEEPING = 1  # committed; what nothing refers to is being freed
COMMITTED = 2
ABANDONED = 3  # everything in it is being freed

GROUP = Record(
    "catalog.GROUP",
    (("client", "I"), ("state", "B"), ("next_data", "I"), ("next_file", "I"), ("next_node", "I"), ("stored_bytes", "Q")),
    "A BDF: whose, and the first index of each kind that is not durable yet.",
)

PACK = Record(
    "catalog.PACK",
    (("segment", "I"), ("offset", "I"), ("length", "I"), ("count", "H"), ("live", "I")),
    "Where a pack lies (offset of its RECORD, RECORD.length). live: of DATA, how many (file object, pack) pairs need it; of FILES "
    "and NODES, how many of its items exist.",
)

# SEGMENT.state
OPEN = 1
SEALED = 2

# SEGMENT.area
FULL = 0
DELTA = 1
MERGE = 2
AREA_NAMES = ("full", "delta", "merge")

SEGMENT = Record(
    "catalog.SEGMENT",
    (("state", "B"), ("area", "B"), ("tail", "I"), ("live", "I"), ("newest", "I")),
    "tail: bytes written. live: bytes of records that something needs; a sealed segment without any is free. newest: the highest "
    "BDF id of a pack in it.",
)


def count_value(count: int) -> bytes:
    """NUMBER of a count, for each item of a backup: Record.pack takes MicroPython 25 us, this 1."""
    return struct.pack("<I", count)


# FAULT.cause
CHECKSUM = 1  # the disk gave other bytes than were written
UNREADABLE = 2  # the disk gave nothing

FAULT = Record(
    "catalog.FAULT",
    (("segment", "I"), ("offset", "I"), ("found_ns", "q"), ("cause", "B"), ("located", "B")),
    "A pack that failed its check where it lay then. located: its USE rows are complete.",
)

USE = Record(
    "catalog.USE",
    (("count", "H"), ("offset", "Q")),
    "So many chunks of the pack are the file object's contents from byte `offset` on.",
)

SCRUB = Record(
    "catalog.SCRUB",
    (("position", "9s"), ("began_ns", "q"), ("ended_ns", "q"), ("bytes", "Q"), ("found", "I")),
    "position: key of PACKS checked last, zeros between two passes. began, bytes, found: of the pass under way or the last one. ended: "
    "of the last whole one, 0 if there was none.",
)


def use_key(pack_key: bytes, group: int, index: int, position: int) -> bytes:
    """Key of a USE in DAMAGE."""
    return pack_key + struct.pack(">IIH", group, index, position)


def parse_use_key(key: bytes):
    """(pack key, group, index, position)."""
    return (key[:9],) + struct.unpack_from(">IIH", key, 9)


def number_key(number: int) -> bytes:
    """Key of CLIENTS, GROUPS, SEGMENTS and RFE."""
    return struct.pack(">I", number)


def pair_key(first: int, second: int) -> bytes:
    """Key of VIEWS."""
    return struct.pack(">II", first, second)


def item_key(kind: int, group: int, index: int) -> bytes:
    """Key of PACKS, REFS and GARBAGE."""
    return struct.pack(">BII", kind, group, index)


def grant_key(group: int, index: int, client: int) -> bytes:
    """Key of GRANTS."""
    return struct.pack(">III", group, index, client)


def item_number(kind: int, group: int, index: int) -> int:
    """An item as one integer, for dictionaries in memory: MicroPython hashes bytes to 16 bits only. kind is FILES or NODES."""
    return group << 33 | (kind - 1) << 32 | index


def number_item_key(number: int) -> bytes:
    """item_key of an item_number."""
    return item_key((number >> 32 & 1) + 1, number >> 33, number & 0xFFFFFFFF)


def parse_item_key(key: bytes):
    """(kind, group, index)."""
    return struct.unpack(">BII", key)
