"""Differencing by written regions: chunks that no region touches are those of the old version, unread. Called by bdm.reader.

Chunks are canonical (firmware/formats/fileobject.py): an old and a new one that begin at the same byte and are equally long, and in
which nothing was written, are the same. Everything else is read, hashed and, if still equal, not sent either.
"""

import os

from agent_pc.bdm import contents
from agent_pc.bdm import prints as sets
from agent_pc.bdm.alike import alike, stretches
from agent_pc.fda.accelerator import Tracked
from agent_pc.fda.hashes import SUM_BYTES


class _Plan:
    """Which old chunks stand where. `held` is the old version, `regions` what was written since."""

    def __init__(self, tracked: Tracked):
        assert tracked.held is not None and tracked.regions is not None
        self._held = tracked.held
        self._regions = tracked.regions
        self.chunk = tracked.held.chunk_bytes

    def pieces(self, offset: int, length: int):
        """Yield (start, end, old ordinal or None, untouched) over one new data extent, cut at chunks."""
        end, at = offset + length, offset
        for old_offset, old_length, first in self._held.extents:
            start, stop = max(at, old_offset), min(end, old_offset + old_length)
            start += (offset - start) % self.chunk
            if (old_offset - offset) % self.chunk or start >= stop:
                continue
            if stop != end or stop != old_offset + old_length:
                stop -= (stop - offset) % self.chunk  # a short chunk counts if it is the last one of both
            if start >= stop:
                continue
            if at < start:
                yield at, start, None, False
            yield from self._split(offset, start, stop, first + (start - old_offset) // self.chunk)
            at = stop
        if at < end:
            yield at, end, None, False

    def _split(self, origin: int, start: int, stop: int, ordinal: int):
        """Touched and untouched parts of chunks that exist in both versions."""
        at = start
        for low, high in self._regions.within(start, stop):
            low = max(low - (low - origin) % self.chunk, at)
            high = min(high + (origin - high) % self.chunk, stop)
            if low >= high:
                continue
            if at < low:
                yield at, low, ordinal + (at - start) // self.chunk, True
            yield low, high, ordinal + (low - start) // self.chunk, False
            at = high
        if at < stop:
            yield at, stop, ordinal + (at - start) // self.chunk, True


def messages(tracked: Tracked, status: os.stat_result, found: list, old, signer):
    """Yield bdm.reader's messages for a file with the data extents `found`; returns the size read, shorter if it shrank."""
    plan = _Plan(tracked)
    at = 0
    for offset, length in found:
        if offset > at:
            yield "hole", offset - at
        signer.extent(offset)
        for start, end, ordinal, untouched in plan.pieces(offset, length):
            if untouched:
                yield _known(tracked, old, signer, ordinal, start, end)
            else:
                yield from _read(tracked, old, signer, ordinal, start, end)
            if signer.end != end:
                return signer.end
        at = offset + length
    if status.st_size > at:
        yield "hole", status.st_size - at
    return status.st_size


def _known(tracked: Tracked, old, signer, ordinal: int, start: int, end: int) -> tuple:
    """Old chunks from `ordinal` on, unread."""
    held = tracked.held
    assert held is not None
    count = -(-(end - start) // held.chunk_bytes)
    for part in held.parts(ordinal, count):
        signer.known(part, 0)
    signer.known(b"", end - start)
    return "runs", old.refs(ordinal, count), sets.part(old.prints, ordinal, count)


def _read(tracked: Tracked, old, signer, ordinal, start: int, end: int):
    """Read start .. end-1; chunks that equal the old one at their place are not sent."""
    held = tracked.held
    assert held is not None
    for block, sums in contents.summed(tracked.handle, start, end - start, held.chunk_bytes):
        signer.sums(sums)
        if ordinal is None:
            yield "chunks", block, sums
            continue
        for first, stop, known in stretches(alike(sums.rows, held.sums(ordinal, sums.count), SUM_BYTES)):
            if known:
                yield "runs", old.refs(ordinal + first, stop - first), sets.part(old.prints, ordinal + first, stop - first)
            else:
                yield "chunks", block[first * sums.chunk : stop * sums.chunk], sums.part(first, stop)
        ordinal += sums.count
