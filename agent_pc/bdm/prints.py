"""Fingerprint sets as the wire and the cache hold them: rows of length, weak and 8 strong bytes, packed. Called by bdm and session."""

import struct

from firmware.formats import message

PRINT = struct.Struct(message.PRINT.code)


def pack(rows: list) -> bytes:
    """Packed rows of [(length, weak, strong of 8 bytes)]."""
    return b"".join([PRINT.pack(*row) for row in rows])


def unpack(packed: bytes) -> list:
    """[(length, weak, strong8)]."""
    return list(PRINT.iter_unpack(packed))


def count(packed: bytes) -> int:
    return len(packed) // PRINT.size


def part(packed: bytes, first: int, number: int) -> bytes:
    """Rows first .. first+number-1."""
    return packed[first * PRINT.size : (first + number) * PRINT.size]
