"""File objects of the mount, and the bytes of large files in windows of a mebibyte. Used by agent_pc/mount/contents.py."""

import threading

from agent_pc.exits import AgentError
from agent_pc.mount.shelf import Shelf
from agent_pc.views.contents import Contents
from agent_pc.views.layout import Layout, computable, data_chunks

_WINDOW_BYTES = 1 << 20
_FILE_BYTES = 32 << 20  # of file objects kept; the list of lengths of an irregular file is the largest part


class Held:
    """A file object and, once they are needed, where its chunks lie."""

    def __init__(self, file):
        self.file = file
        self.layout: Layout | None = None
        self.lock = threading.Lock()

    @property
    def weight(self) -> int:
        return 400 + 100 * len(self.file.runs)


class Files:
    """The file objects that were needed last. `link`: mount.link.Link."""

    def __init__(self, link):
        self._link = link
        self._held = Shelf(_FILE_BYTES, lambda held: held.weight, self._fetch)
        self.bring = self._held.bring

    def take(self, ref: tuple, size: int | None = None) -> Held:
        """The file object `ref` (group, index); `size`: what its entry says, if it is to be compared. Raises AgentError, Refusal."""
        held = self._held.take(ref)
        if size is not None and held.file.size != size:
            raise AgentError("LOST", f"file object: expected {size} bytes as its entry says, got {held.file.size}")
        return held

    def layout(self, ref: tuple, held: Held) -> Layout:
        """Where its chunks lie."""
        with held.lock:
            if held.layout is None:
                lengths = None
                if not computable(held.file):
                    count = data_chunks(held.file.runs)
                    lengths = self._link.run(lambda session: Contents(session).lengths(ref, count))
                held.layout = Layout(held.file, lengths)
            return held.layout

    def _fetch(self, refs: list) -> dict:
        came = self._link.run(lambda session: list(Contents(session).files(refs)))
        return {
            ref: AgentError("LOST", file) if isinstance(file, str) else Held(file) for ref, file in zip(refs, came, strict=True)
        }


class Windows:
    """`later(work, arguments)` does it in a thread of its own; `limit_bytes` bounds the windows kept."""

    def __init__(self, link, files: Files, limit_bytes: int, later):
        self._link = link
        self._files = files
        self._later = later
        self._windows = Shelf(limit_bytes, len, self._fetch)

    def range(self, entry, first: int, last: int, depth: int) -> bytes:
        """Bytes first .. last-1 of a large file; `depth` windows behind them are fetched ahead."""
        layout = self._files.layout(entry.ref[1:], self._files.take(entry.ref[1:], entry.size))
        pieces = layout.data(first, last)
        out = bytearray(last - first)
        windows = [number for _, start, length in pieces for number in _windows(layout, start, start + length)]
        keys = [(entry.ref[1:], number) for number in dict.fromkeys(windows)]
        if depth and keys:
            end = -(-layout.chunks // _per_window(layout))
            following = range(keys[-1][1] + 1, min(keys[-1][1] + 1 + depth, end))
            self._ahead([(entry.ref[1:], number) for number in following])
        for offset, start, length in pieces:
            self._copy(entry.ref[1:], layout, out, offset - first, start, length, keys)
        return bytes(out)

    def _ahead(self, keys: list) -> None:
        """In one request; only when half of it is missing, so that reading on does not ask for every window by itself."""
        missing = [key for key in keys if not self._windows.has(key)]
        if missing and 2 * len(missing) >= len(keys):
            self._later(self._windows.bring, missing)

    def _copy(self, ref: tuple, layout: Layout, out: bytearray, at: int, start: int, length: int, keys: list) -> None:
        for number in _windows(layout, start, start + length):
            data = self._windows.take((ref, number), keys)
            begin = layout.start(number * _per_window(layout))
            low, high = max(start, begin), min(start + length, begin + len(data))
            out[at + low - start : at + high - start] = memoryview(data)[low - begin : high - begin]

    def _fetch(self, keys: list) -> dict:
        rows = []
        for ref, number in keys:
            held = self._files.take(ref)
            layout = self._files.layout(ref, held)
            first = number * _per_window(layout)
            rows.append((ref, held.file, first, min(_per_window(layout), layout.chunks - first)))
        came = self._link.run(lambda session: list(Contents(session).chunks(rows)))
        found: dict = {}
        for key, (data, _, problem) in zip(keys, came, strict=True):
            found[key] = AgentError("LOST", problem) if problem else data
        return found


def _per_window(layout: Layout) -> int:
    """Chunks in one window."""
    return max(1, _WINDOW_BYTES // layout.chunk_bytes)


def _windows(layout: Layout, start: int, end: int) -> range:
    """Numbers of the windows that hold bytes start .. end-1 of the data."""
    count = _per_window(layout)
    return range(layout.chunk(start) // count, layout.chunk(end - 1) // count + 1)
