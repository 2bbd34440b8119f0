"""The version of a file that the appliance holds: its chunks by ordinal, as runs and fingerprints. Called by fdm.rfe and bdm."""

from bisect import bisect_right

from agent_pc.bdm import prints as sets
from firmware.formats import fileobject, limits
from firmware.formats.record import FormatError

_CHUNK_SIZES = tuple(sorted({size for _, size in limits.CHUNK_TABLE}))
_WORTH_CHUNKS = 4  # a file of fewer is sent again as it is


class Old:
    """`ref` (group, index), `file` (file.FILE), `prints` packed, empty while unknown."""

    def __init__(self, ref: tuple, body: bytes):
        """Raises FormatError if `body` is no file object that makes sense."""
        self.ref = ref
        self.file = fileobject.FILE.unpack(body)
        self.prints = b""  # none yet: a set is never empty
        self.runs = [run for run in self.file.runs if run[0] != fileobject.HOLE_GROUP]
        self._starts, total = [], 0
        for run in self.runs:
            self._starts.append(total)
            total += run[2]
        self.chunks = total
        if self.file.chunk_bytes not in _CHUNK_SIZES:
            raise FormatError(f"file.FILE.chunk_bytes: expected one of {_CHUNK_SIZES}, got {self.file.chunk_bytes}")

    def worth(self, size: int) -> bool:
        """Whether a difference of a file now `size` bytes long against this version can pay."""
        least = _WORTH_CHUNKS * self.file.chunk_bytes
        return self.chunks >= _WORTH_CHUNKS and size >= least

    def take_prints(self, packed: bytes) -> bool:
        """Keep the fingerprint set if it fits the runs: whether it does."""
        if sets.count(packed) != self.chunks:
            return False
        self.prints = packed
        return True

    def refs(self, first: int, count: int) -> list:
        """Runs [(group, first, count)] of chunks `first` .. first+count-1 of the file."""
        out = []
        at = bisect_right(self._starts, first) - 1
        while count:
            group, start, length = self.runs[at]
            within = first - self._starts[at]
            take = min(count, length - within)
            out.append((group, start + within, take))
            first, count, at = first + take, count - take, at + 1
        return out
