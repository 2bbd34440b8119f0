"""A file's contents on this PC: its data extents, and the signature over its canonical chunks. Called by bdm.reader, fdm.rfe, restore.

Ref: firmware/formats/fileobject.py for the signature.
"""

import errno
import hashlib
import os
import struct

from agent_pc.bdm import librsync
from firmware.formats import limits

BLOCK_BYTES = limits.PACK_AIM_BYTES  # read at a time: a multiple of every chunk size, and one pack
EXTENTS = 16384  # a file in more pieces is read as if it had no holes: its runs must fit a file object
_HOLE = struct.Struct("<24xQ")
_BLOCK_UNIT = 512  # of st_blocks


def extents(handle: int, status: os.stat_result) -> list:
    """[(offset, length)] of the data between holes, up to st_size."""
    size = status.st_size
    if not size:
        return []
    if status.st_blocks * _BLOCK_UNIT >= size:
        return [(0, size)]
    found: list = []
    at = 0
    try:
        while at < size and len(found) <= EXTENTS:
            start = os.lseek(handle, at, os.SEEK_DATA)
            at = min(os.lseek(handle, start, os.SEEK_HOLE), size)
            if start < at:
                found.append((start, at - start))
    except OSError as error:
        if error.errno != errno.ENXIO:  # ENXIO: only a hole is left; others: the filesystem knows no holes
            return [(0, size)]
    return found if len(found) <= EXTENTS else [(0, size)]


def blocks(handle: int, offset: int, length: int):
    """Yield bytes of the extent, BLOCK_BYTES at a time; ends early where the file ends."""
    end = offset + length
    while offset < end:
        block = os.pread(handle, min(BLOCK_BYTES, end - offset), offset)
        while block and len(block) < BLOCK_BYTES and offset + len(block) < end:
            more = os.pread(handle, min(BLOCK_BYTES, end - offset) - len(block), offset + len(block))
            if not more:
                break
            block += more
        if not block:
            return
        yield block
        if len(block) < BLOCK_BYTES:
            return
        offset += len(block)


class Signer:
    """Signature of a file from its pieces in order."""

    def __init__(self):
        self._hash = hashlib.blake2b(digest_size=32)
        self.end = 0

    def extent(self, offset: int) -> None:
        """Data begins at `offset`: what lies between is a hole."""
        if offset > self.end:
            self._hash.update(_HOLE.pack(offset - self.end))
            self.end = offset

    def rows(self, rows: list) -> None:
        """Canonical chunks [(length, weak, hash)]."""
        self._hash.update(b"".join([row[2] for row in rows]))
        self.end += sum([row[0] for row in rows])

    def known(self, hashes: bytes, length: int) -> None:
        """Canonical chunks of `length` bytes together by their hashes, one after the other."""
        self._hash.update(hashes)
        self.end += length

    def digest(self, size: int) -> bytes:
        """The signature of a file of `size` bytes."""
        self.extent(size)
        return self._hash.digest()


def signature(handle: int, found: list, size: int, chunk_bytes: int, signer: Signer | None = None) -> bytes | None:
    """Signature of what is in the file now, None if it is shorter than its extents say. `signer`: one that has not begun."""
    signer = signer or Signer()
    if size <= chunk_bytes and found == [(0, size)]:
        data = os.pread(handle, size, 0)
        signer.known(hashlib.blake2b(data, digest_size=32).digest(), size)
        return signer.digest(size) if len(data) == size else None
    for offset, length in found:
        signer.extent(offset)
        for block in blocks(handle, offset, length):
            signer.rows(librsync.rows(block, chunk_bytes))
        if signer.end != offset + length:
            return None
    return signer.digest(size)
