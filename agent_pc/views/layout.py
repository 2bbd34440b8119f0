"""Where the bytes of a file lie among its chunks, from the runs of its file object. Called by views/contents, restore and mount."""

import bisect
import itertools
import typing

from agent_pc.exits import AgentError
from firmware.formats import fileobject


class Extent(typing.NamedTuple):
    """`length` bytes of data at `offset` of the file; `start` counts the data before it, holes left out."""

    offset: int
    length: int
    start: int


def plan(runs: list) -> list:
    """[("data", chunks) or ("hole", bytes)], like ones joined. Raises AgentError(PROTOCOL) for an empty run."""
    out: list = []
    for run in runs:
        kind, count = ("hole", fileobject.hole_bytes(run)) if run[0] == fileobject.HOLE_GROUP else ("data", run[2])
        if not count:
            raise AgentError("PROTOCOL", "file object: an empty run")
        if out and out[-1][0] == kind:
            out[-1] = (kind, out[-1][1] + count)
        else:
            out.append((kind, count))
    return out


def data_chunks(runs: list) -> int:
    """Chunks in a file, holes left out. Raises AgentError(PROTOCOL) as `plan`."""
    return sum([count for kind, count in plan(runs) if kind == "data"])


def computable(file) -> bool:
    """Whether the length of every chunk follows from the file object: canonical chunks in one piece of data."""
    return not file.flags & fileobject.IRREGULAR and [kind for kind, _ in plan(file.runs)].count("data") <= 1


class Layout:
    """`extents` [Extent] in order; `chunks` counts them all. `lengths`: of each chunk, needed unless `computable(file)`."""

    def __init__(self, file, lengths: list | None = None):
        """Raises AgentError(PROTOCOL) where runs, lengths and size do not agree."""
        self.chunks = data_chunks(file.runs)
        self.extents: list[Extent] = []
        self.chunk_bytes = max(1, file.chunk_bytes)
        self._starts = None if lengths is None else list(itertools.accumulate(lengths, initial=0))
        parts = plan(file.runs)
        holes = sum([count for kind, count in parts if kind == "hole"])
        self.data_bytes = self._starts[-1] if self._starts else file.size - holes
        first = 0
        at = 0
        for kind, count in parts:
            size = count
            if kind == "data":
                size = self.start(first + count) - self.start(first)
                self.extents.append(Extent(at, size, self.start(first)))
                first += count
            at += size
        if at != file.size or (lengths is not None and len(lengths) != self.chunks) or not self._plausible():
            raise AgentError("PROTOCOL", f"file object: expected runs of {file.size} bytes together, got {at}")

    def _plausible(self) -> bool:
        return self._starts is not None or -(-self.data_bytes // self.chunk_bytes) == self.chunks

    def start(self, chunk: int) -> int:
        """Data before chunk number `chunk`, in bytes."""
        return self._starts[chunk] if self._starts else min(chunk * self.chunk_bytes, self.data_bytes)

    def chunk(self, at: int) -> int:
        """The chunk that holds byte `at` of the data."""
        return bisect.bisect_right(self._starts, at) - 1 if self._starts else at // self.chunk_bytes

    def data(self, first: int, last: int) -> list:
        """[(offset, start, length)] of the data within bytes first .. last-1 of the file; what is not named is a hole."""
        out = []
        at = max(0, bisect.bisect_right(self.extents, first, key=lambda extent: extent.offset) - 1)
        for extent in self.extents[at:]:
            low, high = max(first, extent.offset), min(last, extent.offset + extent.length)
            if extent.offset >= last:
                break
            if low < high:
                out.append((low, extent.start + low - extent.offset, high - low))
        return out
