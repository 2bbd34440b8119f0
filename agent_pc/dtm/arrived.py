"""What one backup has sent so far, kept when its connection is cut: what arrived is not read, hashed or sent again.

The GRANT after a cut says how many items of each kind arrived; `resumed` turns what was noted into what they are good for: files
known by their stat, nodes by their digest, the chunks of the file that was under way by their hashes. Nothing of it outlives
`agent_pc.backup.backup`: an agent that is started anew finds its files by redundant file elimination.
"""

import hashlib
import os
import struct
from array import array
from bisect import bisect_left
from collections import deque
from itertools import takewhile

from agent_pc.bdm.sums import Sums
from agent_pc.fdm.task import Task
from firmware.formats import pack

_IDENTITY = struct.Struct("<QQQqq")
_DIGEST_BYTES = 16


class _Digests:
    """Digests of the items from `first` on; only those there were at `settle` are found."""

    def __init__(self, first: int, rows: bytes = b""):
        self.first = first
        self.rows = bytearray(rows)
        self._order = array("I", sorted(range(len(rows) // _DIGEST_BYTES), key=self._at))

    @property
    def next(self) -> int:
        return self.first + len(self.rows) // _DIGEST_BYTES

    def _at(self, position: int) -> bytes:
        return bytes(self.rows[position * _DIGEST_BYTES : (position + 1) * _DIGEST_BYTES])

    def find(self, digest: bytes) -> int | None:
        """Index of the item."""
        at = bisect_left(self._order, digest, key=self._at)
        if at == len(self._order) or self._at(self._order[at]) != digest:
            return None
        return self.first + self._order[at]

    def upto(self, end: int) -> bytes:
        """The digests of the items before `end`."""
        return bytes(self.rows[: max(0, end - self.first) * _DIGEST_BYTES])


class _Chunks:
    """Chunks of one file as they were numbered: `noted` [(first, Sums)]; `plain`: they are the file from its start, without a gap."""

    __slots__ = ("key", "noted", "plain")

    def __init__(self, key: bytes):
        self.key = key
        self.plain = True
        self.noted: list = []

    def end(self) -> int:
        """Number of the chunk after its last one."""
        return max([first + sums.count for first, sums in self.noted], default=0)


class Arrived:
    """One connection's part. `group`: BDF; `again`: bodies of file objects that go first, numbered from the GRANT's next_file."""

    def __init__(self, grant=None, salt: bytes = b"", files: bytes = b"", labels: bytes = b"", nodes: bytes = b""):
        self.group = grant.group if grant else 0
        self.again: list = []
        self._salt = salt or os.urandom(_DIGEST_BYTES)
        self._files = _Digests(grant.next_file - len(labels) if grant else 0, files)
        self._labels = bytearray(labels)
        self._nodes = _Digests(grant.next_node - len(nodes) // _DIGEST_BYTES if grant else 0, nodes)
        self._recent: deque = deque()  # (index, body, label, _Chunks) of file objects that may not have arrived
        self._current = _Chunks(b"")
        self._begun: dict = {}  # key -> [(first, Sums)] of a file's start
        self._held: dict = {}  # sums of a stretch of chunks -> first

    def resumed(self, grant) -> "Arrived":
        """For the next connection, whose GRANT this is. Threads of the one before may still write to this one."""
        if grant.group != self.group or grant.next_file < self._files.first or grant.next_node < self._nodes.first:
            return Arrived(grant)
        recent = [row for row in tuple(self._recent) if row[0] >= grant.next_file]
        complete = [row for row in recent if row[3].end() <= grant.next_data]
        files = self._files.upto(grant.next_file)
        labels = bytes(self._labels[: len(files) // _DIGEST_BYTES])
        known = Arrived(grant, self._salt, files, labels, self._nodes.upto(grant.next_node))
        known._again(complete, grant.next_file)
        for chunks in [row[3] for row in recent if row not in complete] + [self._current]:
            known._take_up(chunks, grant.next_data)
        return known

    def _again(self, rows: list, next_file: int) -> None:
        """File objects that did not arrive, though all their chunks did."""
        for index, (_, body, label, chunks) in enumerate(rows, next_file):
            self.again.append(body)
            self._recent.append((index, body, label, chunks))
            self._labels.append(label)
        self._files = _Digests(self._files.first, bytes(self._files.rows) + b"".join([row[3].key for row in rows]))

    def _take_up(self, chunks: _Chunks, next_data: int) -> None:
        def arrived(row: tuple) -> bool:
            return row[0] + row[1].count <= next_data

        noted = chunks.noted
        if chunks.plain and chunks.key:
            self._begun[chunks.key] = list(takewhile(arrived, noted))
        for first, sums in filter(arrived, noted):
            self._held[sums.rows] = first

    # -- what is good for something

    def file(self, task: Task) -> tuple | None:
        """(ref, label) of a file that is just as it was when it was sent."""
        index = self._files.find(self._key(task.status)) if task.group is None and self._labels else None
        return None if index is None else ((self.group, index), self._labels[index - self._files.first])

    def begun(self, task: Task) -> list:
        """[(first, Sums)]: chunks from the start of the file that were sent."""
        return self._begun.get(self._key(task.status), []) if self._begun else []

    def chunks(self, sums: Sums) -> int | None:
        """Number of the first of these chunks, if they arrived in this order."""
        return self._held.get(sums.rows) if self._held else None

    def node(self, digest: bytes) -> int | None:
        """Index of a node by the digest (16 bytes) of its body."""
        return self._nodes.find(digest)

    # -- notes of what is sent

    def opened(self, task: Task) -> None:
        """The chunks that come now are this file's."""
        self._current = _Chunks(self._key(task.status) if task.group is None else b"")

    def numbered(self, first: int, sums: Sums) -> None:
        self._current.noted.append((first, sums))

    def broken(self) -> None:
        """The file is not made of its own chunks in order."""
        self._current.plain = False

    def filed(self, index: int, task: Task, outcome, body: bytes) -> None:
        """The file was read and is this file object."""
        chunks, self._current = self._current, _Chunks(b"")
        sure = task.group is None and not outcome.changed and not outcome.entry_flags
        chunks.key = self._key(outcome.status) if sure else bytes(_DIGEST_BYTES)
        self._recent.append((index, body, outcome.label, chunks))
        self._files.rows += chunks.key
        self._labels.append(outcome.label)

    def noded(self, digest: bytes) -> None:
        """A node was sent."""
        self._nodes.rows += digest

    def confirmed(self, synced) -> None:
        """wire.SYNCED: what is before these indexes is durable."""
        while self._recent and self._recent[0][0] < synced[pack.FILES]:
            self._recent.popleft()

    def _key(self, status: os.stat_result) -> bytes:
        """The file and its state; contents that differ have another one, as far as a stat can tell."""
        identity = _IDENTITY.pack(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return hashlib.blake2b(identity, digest_size=_DIGEST_BYTES, key=self._salt).digest()
