"""Old blocks first: what was overwritten while a frozen file is read goes to the appliance at once, out of order, and the spool is free
again. Its place in the file is told when the reading comes there. Called by bdm.reader, for files of a guarded mount and others.

Ref: patent, active file manager: the apparatus "can then manage or re-order these out of order backup blocks".
"""

import os

from agent_pc.bdm import contents, librsync
from agent_pc.fda.regions import Regions
from agent_pc.guard import names


def messages(handle: int, offset: int, length: int, chunk_bytes: int):
    """Yield bdm.reader's "chunks", "early" and "late" for a data extent; ends early where the file ends. Raises OSError."""
    if _saved(handle) is not None:
        yield from _Ahead(handle, offset, offset + length, chunk_bytes).messages()
        return
    for block, sums in contents.summed(handle, offset, length, chunk_bytes):
        yield "chunks", block, sums


def _saved(handle: int) -> list | None:
    """[(start, end)] in the spool of the guarded mount; None for a file of anything else."""
    try:
        return list(names.RANGE.iter_unpack(os.getxattr(handle, names.SAVED)))
    except OSError:
        return None


class _Ahead:
    """One extent. Its chunks are numbered by their offset."""

    def __init__(self, handle: int, start: int, end: int, chunk_bytes: int):
        self._handle = handle
        self._start = start
        self._end = end
        self._chunk = chunk_bytes
        self._sent: dict = {}  # offset of a chunk -> (key, its number there)
        self._sums: dict = {}  # key -> Sums
        self._ranges = Regions()  # the same chunks

    def messages(self):
        at = self._start
        while at < self._end:
            yield from self._early(at)
            late = self._late(at)
            if late is not None:
                yield late
                at += late[3].length
                continue
            [(_, stop), *_] = self._ranges.outside(at, self._end)
            for block in contents.blocks(self._handle, at, min(stop - at, contents.BLOCK_BYTES)):
                self._release(at, at + len(block))
                yield "chunks", block, librsync.sums(block, self._chunk)
                at += len(block)
                break
            else:
                return

    def _early(self, at: int):
        """Chunks beyond `at` that are in the spool."""
        wanted = Regions()
        for start, end in _saved(self._handle) or ():
            low, high = start - (start - self._start) % self._chunk, end + (self._start - end) % self._chunk
            wanted.add(max(low, at), min(high, self._end))
        for start, end in wanted:
            for low, high in self._ranges.outside(start, end):
                yield from self._send(low, high)

    def _send(self, start: int, end: int):
        at = start
        for block in contents.blocks(self._handle, start, end - start):
            sums = self._sums[at] = librsync.sums(block, self._chunk)
            for number in range(sums.count):
                self._sent[at + number * self._chunk] = (at, number)
            yield "early", at, block, sums
            at += len(block)
        self._ranges.add(start, at)
        if at == end:
            self._release(start, end)

    def _release(self, start: int, end: int) -> None:
        """These bytes are ours now: nobody need save them."""
        try:
            os.setxattr(self._handle, names.RELEASE, names.RANGE.pack(start, end))
        except OSError:
            pass  # somebody else's file, which we may only read: it costs room in the spool

    def _late(self, at: int):
        """The message that puts chunks from `at` on in their place, None if the one there was not sent."""
        key, first = self._sent.pop(at, (None, 0))
        if key is None:
            return None
        count = 1
        while self._sent.get(at + count * self._chunk, (None,))[0] == key:
            del self._sent[at + count * self._chunk]
            count += 1
        return "late", key, first, self._sums[key].part(first, first + count)
