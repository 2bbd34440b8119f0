"""Turns what the readers say into file objects and directories into nodes, in order. Used by agent_pc/backup.py, the packer's thread."""

import hashlib
import struct

from agent_pc.afm.waiting import Settle
from agent_pc.bdm import likeness
from agent_pc.bdm.sums import Sums
from agent_pc.fdm import nodes
from agent_pc.fdm.task import Directory, Link, Task
from firmware.formats import dtf, fileobject, limits

_HEAD = struct.Struct(fileobject.FILE.code)
_RUN = struct.Struct(fileobject.RUN.code)
_COUNT = struct.Struct("<I")
_CACHED_CHUNKS = 4  # a file of fewer is never differenced


class _Parts:
    """Runs and fingerprints of one file while it is put together."""

    def __init__(self):
        self.runs: list = []
        self.prints: list = []
        self.chunks = 0
        self.early: dict = {}  # key -> first chunk
        self.reused = False
        self.same = False

    def add(self, group: int, first: int, count: int) -> None:
        """Chunks; they join the run before if they continue it."""
        self.chunks += count
        last = self.runs[-1] if self.runs else None
        if last and last[0] == group and group and last[1] + last[2] == first:
            last[2] += count
        else:
            self.runs.append([group, first, count])

    def hole(self, length: int) -> None:
        self.runs.append(fileobject.hole(length))


class Assembly:
    """`packer`: dtm.packer.Packer; `arrived`: dtm.arrived.Arrived; `problem(path, text)`; `progress.done(bytes)`;
    `read(task, old, untouched)`: messages of a file; `known` (fdm.known.Known) keeps how finished directories looked."""

    def __init__(self, packer, arrived, cache, counts, problem, progress, read, known):
        self._packer = packer
        self._arrived = arrived
        self._cache = cache
        self._counts = counts
        self._problem = problem
        self._progress = progress
        self._read = read
        self._known = known
        self._empty: bytes | None = None

    def again(self) -> None:
        """Before anything else: file objects that were on their way when the connection was cut."""
        for body in self._arrived.again:
            self._packer.file(body)

    def event(self, event, messages) -> None:
        """The next event of the scan; `messages` of a Task that had to be read, else None."""
        if isinstance(event, Task):
            if messages is not None:
                self._file(event, messages)
            self._count(event)
            if messages is None:
                self._progress.done(event.status.st_size)
        elif isinstance(event, Link):
            self._count(event.first)
        elif isinstance(event, Settle):
            self._settle(event)
        else:
            self._directory(event)

    def _settle(self, event: Settle) -> None:
        """A group was read. If somebody wrote to it, it will come once more, and what came does not count."""
        rows = [row if isinstance(row, Task) else row.first for row in event.group.events]
        if not event.ok():
            for task in rows:
                self._count(task, -1)

    def _count(self, task: Task, by: int = 1) -> None:
        """One name of a file."""
        if task.slot:
            setattr(self._counts, task.found, getattr(self._counts, task.found) + by)
        else:
            self._counts.files -= by
            self._counts.bytes -= by * task.status.st_size

    # -- files

    def _file(self, task: Task, messages) -> None:
        parts, end = self._collect(task, messages)
        if len(parts.runs) > limits.FILE_RUNS:
            parts, end = self._collect(task, self._read(task, None, False))
        if isinstance(end, str):
            self._failed(task, end)
        elif len(parts.runs) > limits.FILE_RUNS:
            self._failed(task, f"lies in {len(parts.runs)} pieces, more than {limits.FILE_RUNS}")
        else:
            self._finish(task, parts, end)

    def _failed(self, task: Task, text: str) -> None:
        kept = task.keep()
        self._tell(task, text + ("; the version before it is kept" if kept else ""))
        task.found = "kept"

    def _tell(self, task: Task, text: str) -> None:
        """A problem; a group may still do better."""
        (self._problem if task.group is None else task.group.problem)(task.path, text)

    def _collect(self, task: Task, messages) -> tuple:
        """(_Parts, Outcome or text)."""
        parts, shown = _Parts(), 0
        self._arrived.opened(task)
        for message in messages:
            kind = message[0]
            if kind == "chunks":
                self._chunks(parts, message[1], message[2])
                shown += len(message[1])
                self._progress.done(len(message[1]))
            elif kind == "early":
                self._arrived.broken()
                parts.early[message[1]] = self._number(message[2], message[3])
                shown += len(message[2])
                self._progress.done(len(message[2]))
            elif kind == "held":
                parts.add(self._packer.group, message[1], message[2].count)
                parts.prints.append(message[2])
                self._arrived.numbered(message[1], message[2])
            elif kind == "late":
                parts.add(self._packer.group, parts.early[message[1]] + message[2], message[3].count)
                parts.prints.append(message[3])
            elif kind == "runs":
                self._arrived.broken()
                for run in message[1]:
                    parts.add(*run)
                parts.prints.append(message[2])
                parts.reused = True
            elif kind == "hole":
                self._arrived.broken()
                parts.hole(message[1])
            elif kind == "restart":
                parts = _Parts()
                self._arrived.opened(task)
            elif kind == "same":
                parts.same = True
            else:
                self._progress.done(task.status.st_size - shown)
                return parts, message[1]
        return parts, "reading ended early"

    def _chunks(self, parts: _Parts, buffer, sums: Sums) -> None:
        parts.add(self._packer.group, self._number(buffer, sums), sums.count)
        parts.prints.append(sums)

    def _number(self, buffer, sums: Sums) -> int:
        """Of the first of new chunks: they are sent, unless they arrived before a cut."""
        first = self._arrived.chunks(sums)
        if first is None:
            first = self._packer.chunks(buffer, sums)
            self._counts.chunks += sums.count
            self._counts.chunk_bytes += len(buffer)
        self._arrived.numbered(first, sums)
        return first

    def _finish(self, task: Task, parts: _Parts, outcome) -> None:
        if outcome.changed:
            self._tell(task, outcome.changed)
        ref: tuple | None
        if parts.same and task.old is not None:
            ref, task.found = task.old.ref, "touched" if task.modified else "redundant"
        else:
            ref = self._object(task, parts, outcome) if outcome.size else None
            task.found = "modified" if task.modified else "new"
        task.finish(ref, outcome.status, outcome.size, outcome.entry_flags, outcome.label)

    def _object(self, task: Task, parts: _Parts, outcome) -> tuple:
        base = task.old.ref if parts.reused and task.old is not None else (0, 0)
        head = _HEAD.pack(outcome.size, outcome.chunk_bytes, outcome.flags, task.crc(), *base, outcome.signature)
        body = b"".join((head, _COUNT.pack(len(parts.runs)), *[_RUN.pack(*run) for run in parts.runs]))
        ref = self._packer.file(body)
        self._arrived.filed(ref[1], task, outcome, body)
        if parts.chunks >= _CACHED_CHUNKS:
            packed = [part if isinstance(part, bytes) else part.prints() for part in parts.prints]
            prints = b"".join(packed)
            self._cache.add_file(ref, body, prints, outcome.chunk_bytes, likeness.samples(prints, outcome.chunk_bytes))
            if task.modified and task.old is not None:
                self._cache.drop_file(task.old.ref)
        return ref

    # -- directories

    def _directory(self, directory: Directory) -> None:
        made: list = []

        def emit(body: bytes) -> bytes:
            made.append(self._emit(directory, body))
            return made[-1]

        slots = directory.finish(emit)
        if directory.seen is not None:
            self._known.keep(directory, slots, made or list(directory.digests.values()))

    def _emit(self, directory: Directory, body: bytes) -> bytes:
        """Packed ref of a node: the old one with these bytes, or a new one."""
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = directory.digests.get(digest)
        if known is not None:
            return known
        index = self._arrived.node(digest)
        if index is not None:
            return nodes.REF.pack(dtf.NODE_REF, self._packer.group, index)
        empty = len(body) == nodes.NODE.size
        if empty and self._empty is not None:
            return self._empty
        ref = self._packer.node(body)
        self._arrived.noded(digest)
        self._cache.add_node(ref, body)
        self._counts.nodes += 1
        packed = nodes.REF.pack(dtf.NODE_REF, *ref)
        if empty:
            self._empty = packed
        return packed
