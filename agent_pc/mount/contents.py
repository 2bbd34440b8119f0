"""The bytes of files in the mount: small files whole and many at a time, large ones in windows (windows.py), both ahead of who reads
in order. Used by agent_pc/mount/filesystem.py, over agent_pc/views/contents.py.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

from agent_pc.exits import AgentError
from agent_pc.mount.shelf import Shelf
from agent_pc.mount.windows import Files, Windows
from agent_pc.views.contents import Contents
from agent_pc.views.layout import data_chunks, plan
from firmware.formats import dtf

SMALL_BYTES = 1 << 18  # files up to this size are fetched whole
_STEPS = (1, 16, 64, 256, 512)  # small files fetched at a time
_SEEN = 4  # entries looked at for each small file wanted
_MARKS = 64
_STEP_BYTES = 4 << 20
_AHEAD = 8  # windows
_WORKERS = 3


class Opened:
    """One open file. Raises as `Bodies`."""

    def __init__(self, bodies: "Bodies", place):
        self._bodies = bodies
        self._place = place
        self._next = 0  # offset that a reader in order asks for next
        self._depth = 0

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`, fewer only at the end. Raises AgentError, Refusal."""
        entry = self._place.entry
        last = min(offset + size, entry.size)
        if offset >= last:
            return b""
        if entry.ref[0] != dtf.FILE:
            raise AgentError("LOST", "has no contents in this view")
        if entry.size <= SMALL_BYTES:
            return self._bodies.small(self._place)[offset:last]
        self._depth = min(_AHEAD, 2 * self._depth + 1) if offset == self._next else 0
        self._next = last
        return self._bodies.range(entry, offset, last, self._depth)


class Bodies:
    """`link`: mount.link.Link; `forest`: mount.forest.Forest; `limit_bytes` bounds the contents kept."""

    def __init__(self, link, forest, limit_bytes: int):
        self._link = link
        self._forest = forest
        self._step = 0  # how many small files are fetched at a time: more while those fetched are used
        self._brought = self._used = 0
        self._marks: dict = {}  # key of the first file of a batch -> Place of its last
        self._files = Files(link)
        self._small = Shelf(limit_bytes // 2, len, self._fetch_small)
        self._windows = Windows(link, self._files, limit_bytes // 2, self.ahead)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="ahead")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ahead(self, work, *arguments) -> None:
        """Do it in a thread of its own; what fails is asked for again by who needs it."""
        try:
            self._pool.submit(work, *arguments)
        except RuntimeError:
            pass  # closed

    def range(self, entry, first: int, last: int, depth: int) -> bytes:
        """Bytes first .. last-1 of a large file; `depth` windows behind them are fetched ahead."""
        return self._windows.range(entry, first, last, depth)

    # -- small files

    def small(self, place) -> bytes:
        """All of a small file, with those that a walk would come to next."""
        key = _key(place.entry)
        self._used += 1
        reached = self._marks.pop(key, None)
        if reached is not None:
            self._next_batch(reached, self._count())
        held = self._small.look(key)
        if held is not None:
            return held
        if self._small.has(key):
            return self._small.take(key)
        useful = 2 * self._used >= self._brought
        self._step = min(self._step + 1, len(_STEPS) - 1) if useful else 0
        self._used = self._brought = 0
        batch = self._following(place, self._count() - 1)
        if batch:
            self._next_batch(batch[-1], self._count())
        return self._small.take(key, [_key(one.entry) for one in batch])

    def _count(self) -> int:
        return _STEPS[self._step]

    def _next_batch(self, place, count: int) -> None:
        """Bring what follows `place` meanwhile; who reaches it has the batch after that brought."""
        batch = self._following(place, count)
        if batch:
            self._marks[_key(batch[0].entry)] = batch[-1]
            if len(self._marks) > _MARKS:
                self._marks.pop(next(iter(self._marks)), None)
            self.ahead(self._small.bring, [_key(one.entry) for one in batch])

    def _following(self, place, count: int) -> list:
        """Places of the next `count` small files at most."""
        found: list = []
        size = 0
        for one in itertools.islice(self._forest.after(place), _SEEN * count):
            entry = one.entry
            if entry.type == dtf.REGULAR and entry.ref[0] == dtf.FILE and entry.size <= SMALL_BYTES:
                found.append(one)
                size += entry.size
                if len(found) >= count or size >= _STEP_BYTES:
                    break
        self._brought += len(found)
        return found

    def _fetch_small(self, keys: list) -> dict:
        """Whole files: one request for the file objects, one for all chunks."""
        self._files.bring([ref for ref, _ in keys])
        found: dict = {}
        wanted = []
        for key in keys:
            try:
                file = self._files.take(*key).file
                wanted.append((key, file, data_chunks(file.runs)))
            except AgentError as error:
                found[key] = error

        def work(session):
            rows = [(ref, file, 0, count) for (ref, _), file, count in wanted if count]
            return list(Contents(session).chunks(rows)) if rows else []

        came = iter(self._link.run(work))
        for key, file, count in wanted:
            data, lengths, problem = next(came) if count else (b"", [], "")
            found[key] = AgentError("LOST", problem) if problem else _whole(file, data, lengths)
        return found


def _key(entry) -> tuple:
    return entry.ref[1:], entry.size


def _whole(file, data: bytes, lengths: list) -> bytes:
    """A file from all its chunks, holes filled."""
    parts: list[bytes] = []
    used = at = 0
    for kind, count in plan(file.runs):
        if kind == "hole":
            room = file.size - sum([len(part) for part in parts])
            parts.append(bytes(min(count, room + 1)))  # a byte too many is found below
            continue
        size = sum(lengths[used : used + count])
        parts.append(data[at : at + size])
        used, at = used + count, at + size
    whole = b"".join(parts)
    if len(whole) != file.size:
        raise AgentError("LOST", f"expected {file.size} bytes, got {len(whole)}")
    return whole
