"""The redundant file elimination index: 28 bytes a file (patent, figure 8), found by the CRC of name, size and time.

The patent's record is file id, client id, size, CRC, signature. Here file id is the index of the file object within its BDF, and
the BDF id stands where the client id stood: a BDF belongs to one client for ever, so it says more in the same 4 bytes.

A nominee is proven by BLAKE2b of 16 bytes over the challenged range of the file, keyed with the nonce of the batch and the file's
whole signature: who answers right knows both.
"""

from firmware.formats import limits
from firmware.formats.record import Record

KEY = Record(
    "rfe.KEY",
    (("size", "Q"), ("mtime_ns", "q")),
    "Followed by the file's name (last path component, bytes); CRC-32 (ISO 3309, as zlib's crc32) over all of it.",
)

ENTRY = Record(
    "rfe.ENTRY",
    (("index", "I"), ("group", "I"), ("size", "Q"), ("signature", "8s")),
    "Value under the big-endian u32 CRC: file object, its size, the first 8 bytes of its signature.",
)

PROOF_DIGEST_BYTES = 16


def challenged(size: int, point: int):
    """(offset, length): the bytes that u32 `point` challenges in a file of `size` bytes."""
    length = min(size, limits.PROOF_BYTES)
    return (size - length + 1) * point >> 32, length
