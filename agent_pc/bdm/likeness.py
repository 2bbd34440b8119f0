"""Partial redundancy: which held file a new one resembles, so that only the difference is sent. Called by agent_pc/backup.py.

Of each large file that was sent the cache keeps the sums of a few chunks near its beginning and near its end (`samples`). Together they are
one fingerprint set: the sliding fingerprint, passed over beginning and end of a new file, finds them wherever they lie there. The file
with most of them is the old version. The pass is dear (60 MB/s), so it is short, and there is none in a first backup.
"""

import threading
from collections import Counter

from agent_pc.bdm import contents, librsync
from agent_pc.bdm import prints as sets
from agent_pc.bdm.old import Old
from agent_pc.packs import blake
from firmware.formats import limits
from firmware.formats.record import FormatError

LEAST_CHUNKS = 16  # of a file that is worth it
_REACH_CHUNKS = 32  # at either end: what bytes put in front may move things by
_STEP = 4  # one chunk in so many is a sample
_ENOUGH = 3  # found ones that settle it


def samples(packed: bytes, chunk_bytes: int) -> list:
    """[(weak, strong8)] of some chunks of a file with this fingerprint set. Empty ones say nothing."""
    count = sets.count(packed)
    if count < LEAST_CHUNKS:
        return []
    ends = sets.part(packed, 0, _REACH_CHUNKS), sets.part(packed, max(0, count - _REACH_CHUNKS), _REACH_CHUNKS)
    rows = {row[1:] for end in ends for row in sets.unpack(end)[::_STEP] if row[0] == chunk_bytes}
    return [row for row in sorted(rows) if row[1] != blake(bytes(chunk_bytes))[:8]]


def _ends(handle: int, size: int, reach: int):
    """Yield bytes of the beginning and the end of a file, then none."""
    yield from contents.blocks(handle, 0, min(reach, size))
    start = max(reach, size - reach)
    yield from contents.blocks(handle, start, size - start)
    yield b""


class Likeness:
    """`cache` has samples; `holds(ref, crc)` is Session.holds. Any thread may call `find`."""

    def __init__(self, cache, holds):
        self._cache = cache
        self._holds = holds
        self._lock = threading.Lock()
        self._sets: dict = {}  # chunk size -> (SumSet, [ref of each block]), or None without samples

    def find(self, handle: int, size: int) -> Old | None:
        """The held file whose contents the open file `handle` shares most of, as far as samples tell. Raises OSError."""
        chunk = limits.chunk_size(size)
        if size < LEAST_CHUNKS * chunk or (known := self._set(chunk)) is None:
            return None
        found = self._votes(handle, size, chunk, *known).most_common(1)
        return self._old(found[0][0]) if found else None

    def _set(self, chunk: int):
        """Samples as of the first time somebody asks: what this backup itself sends is not among them."""
        with self._lock:
            if chunk not in self._sets:
                rows = self._cache.samples(chunk)
                self._sets[chunk] = (
                    (librsync.SumSet(chunk, [row[2:] for row in rows]), [row[:2] for row in rows]) if rows else None
                )
            return self._sets[chunk]

    def _votes(self, handle: int, size: int, chunk: int, sums, refs: list) -> Counter:
        votes: Counter = Counter()
        delta = librsync.Delta(sums)
        try:
            for block in _ends(handle, size, _REACH_CHUNKS * chunk):
                for command in delta.feed(block, not block):
                    if command[0] == "copy":
                        votes.update(refs[command[1] // chunk : -(-(command[1] + command[2]) // chunk)])
                if votes and max(votes.values()) >= _ENOUGH:
                    break
        finally:
            delta.close()
        return votes

    def _old(self, ref: tuple) -> Old | None:
        """With its fingerprints, if the appliance still has it: the cache does not know what became of deleted files."""
        held = self._cache.file(ref)
        try:
            old = Old(ref, held[0]) if held is not None else None
        except FormatError:
            return None
        return old if old is not None and old.take_prints(held[1]) and self._holds(ref, old.file.crc) else None

    def __del__(self):
        """When no thread looks any more."""
        for known in self._sets.values():
            if known is not None:
                known[0].close()
