"""A file's contents on this PC: its data extents, and the signature over its canonical chunks. Called by bdm.reader, fdm.rfe, restore.

Ref: firmware/formats/fileobject.py for the signature.
"""

import errno
import hashlib
import os
import struct
from collections import deque

from agent_pc.bdm import librsync
from agent_pc.bdm.sums import Sums
from agent_pc.pool import Pool
from firmware.formats import limits

BLOCK_BYTES = limits.PACK_AIM_BYTES  # read at a time: a multiple of every chunk size, and one pack
EXTENTS = 16384  # a file in more pieces is read as if it had no holes: its runs must fit a file object
_HOLE = struct.Struct("<28xQ")
_BLOCK_UNIT = 512  # of st_blocks
_STRETCH_BYTES = 4 * BLOCK_BYTES  # handed to a thread at a time
_HASHERS = 2
_AHEAD = 3  # stretches


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


def summed(handle: int, offset: int, length: int, chunk_bytes: int):
    """As `blocks`, each with its Sums. Of a long extent two threads read and hash stretches ahead."""
    if length <= _STRETCH_BYTES:
        for block in blocks(handle, offset, length):
            yield block, librsync.sums(block, chunk_bytes)
        return
    coming: deque = deque()
    with Pool(_HASHERS, "hash") as pool:
        try:
            for start in range(offset, offset + length, _STRETCH_BYTES):
                wanted = min(_STRETCH_BYTES, offset + length - start)
                coming.append((wanted, pool.submit(_stretch, handle, start, wanted, chunk_bytes)))
                if len(coming) == _AHEAD:
                    yield from _complete(*coming.popleft())
            while coming:
                yield from _complete(*coming.popleft())
        except _Short:
            pass


class _Short(Exception):
    """The file ends here."""


def _complete(wanted: int, work):
    found = work.result()
    yield from found
    if sum([len(block) for block, _ in found]) < wanted:
        raise _Short


def _stretch(handle: int, offset: int, length: int, chunk_bytes: int) -> list:
    return [(block, librsync.sums(block, chunk_bytes)) for block in blocks(handle, offset, length)]


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

    def sums(self, sums: Sums) -> None:
        """Canonical chunks."""
        self._hash.update(sums.rows)
        self.end += sums.length

    def known(self, rows: bytes, length: int) -> None:
        """Canonical chunks of `length` bytes together by their SUMs, one after the other."""
        self._hash.update(rows)
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
        signer.known(librsync.sums(data, chunk_bytes).rows, size)
        return signer.digest(size) if len(data) == size else None
    for offset, length in found:
        signer.extent(offset)
        for _, sums in summed(handle, offset, length, chunk_bytes):
            signer.sums(sums)
        if signer.end != offset + length:
            return None
    return signer.digest(size)
