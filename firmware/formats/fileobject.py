"""A file object: one version of one file's contents, as runs of chunk references. An item of kind FILES.

The signature is BLAKE2b-256 over 36 bytes for each piece of the file in order, cut canonically: every data extent between holes
in chunks of `chunk_bytes` from its start (the last one shorter), each giving its pack.SUM; a hole gives 28 zero bytes and its
length as u64. An object whose runs are cut otherwise (a difference against an older version) carries IRREGULAR.
"""

from firmware.formats import limits
from firmware.formats.record import Record, Rows

IRREGULAR = 1  # chunk boundaries are not the canonical ones: the appliance has not verified the signature

HOLE_GROUP = 0  # no backup has BDF id 0

RUN = Record(
    "file.RUN",
    (("group", "I"), ("first", "I"), ("count", "I")),
    "Chunks first .. first+count-1 of BDF `group`. Group 0: a hole of (first << 32 | count) bytes.",
)

FILE = Record(
    "file.FILE",
    (
        ("size", "Q"),
        ("chunk_bytes", "I"),
        ("flags", "B"),
        ("crc", "I"),
        ("base_group", "I"),
        ("base_index", "I"),
        ("signature", "32s"),
        ("runs", Rows(RUN, limits.FILE_RUNS)),
    ),
    "crc: CRC-32 of name, size and time, which nominates for redundant file elimination (rfe.KEY). "
    "base: the file object whose chunks this one may reuse, group 0 if none.",
)


def hole(length: int):
    """RUN of a hole of `length` bytes."""
    return (HOLE_GROUP, length >> 32, length & 0xFFFFFFFF)


def hole_bytes(run) -> int:
    """Length of the hole that `run` is."""
    return run[1] << 32 | run[2]
