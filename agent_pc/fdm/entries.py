"""What becomes of one entry that the scan comes to: kept as it was, a row of its own, or contents that are needed. The lower half of fdm.scan.

Gives `sink` a Task for each file whose contents are needed, a Link for each further name of one.
"""

import hashlib
import os
import stat

from agent_pc.fdm import metadata, nodes
from agent_pc.fdm.counts import Counts
from agent_pc.fdm.task import Directory, Link, Task, size_of, unchanged
from firmware.formats import dtf, limits


class Entries:
    """`old`: fdm.nodes.Tree; `sink(event)`; `problem(path, text)` reports what could not be read."""

    def __init__(self, old: nodes.Tree, sink, counts: Counts, problem):
        self._old = old
        self._sink = sink
        self._counts = counts
        self._problem = problem
        self._owners = metadata.Owners()
        self._links: dict = {}

    def _directory(self, path: bytes, name: bytes, status, entry) -> Directory:
        entry = entry if entry is not None and entry.head[0] == dtf.DIRECTORY else None
        kept = entry is not None and unchanged(entry.head, status, 0)
        self._counts.directories += 1
        return Directory(path, name, status, entry, b"" if kept else self._extras(path, status), kept)

    def _extras(self, path: bytes, status) -> bytes:
        packed, problem = metadata.attributes(path)
        if problem:
            self._problem(path, problem)
        return self._owners.packed(status) + packed

    def _digests(self, directory: Directory) -> dict:
        """Old entries by name; remembers the old nodes, so that an equal one is not sent."""
        if directory.entry is None or directory.entry.ref[0] != dtf.NODE_REF:
            return {}
        [(parts, lost)] = self._old.directories([directory.entry.ref[1:]])
        for ref, body, _ in parts:
            directory.digests[hashlib.blake2b(body, digest_size=16).digest()] = nodes.REF.pack(dtf.NODE_REF, *ref)
        directory.same = not lost
        return {entry.name: entry for _, _, listed in parts for entry in listed}

    def entry(self, directory: Directory, path: bytes, name: bytes, status, entry) -> None:
        """One entry that is no directory."""
        type_ = nodes.TYPES.get(stat.S_IFMT(status.st_mode))
        if type_ is None:
            self._problem(path, f"unknown file type {stat.S_IFMT(status.st_mode):o}")
            return
        size = size_of(type_, status)
        self._counts.files += type_ == dtf.REGULAR
        self._counts.others += type_ != dtf.REGULAR
        self._counts.bytes += size if type_ == dtf.REGULAR else 0
        if (
            entry is not None
            and entry.head[0] == type_
            and unchanged(entry.head, status, size)
            and not entry.head[1] & dtf.TRUNCATED
        ):
            self._counts.unchanged += type_ == dtf.REGULAR
            directory.rows.append((name, nodes.REF.pack(*entry.ref), entry.raw))
            return
        directory.same = False
        extras = self._extras(path, status)
        if type_ == dtf.REGULAR and size:
            directory.rows.append(self._contents(path, name, status, entry, extras))
            return
        if type_ == dtf.REGULAR:
            self._empty(entry)
        try:
            target = os.readlink(path) if type_ == dtf.SYMLINK else b""
        except OSError as error:
            self._problem(path, f"cannot read the link: {error.strerror}")
            return
        flags = dtf.HARD_LINK if status.st_nlink > 1 else 0
        raw = nodes.pack_entry(type_, flags, dtf.QUIESCED, status, name, target, extras, size)
        directory.rows.append((name, nodes.NO_REF, raw))

    def _empty(self, entry) -> None:
        """Count a file without contents."""
        if entry is None or entry.type != dtf.REGULAR:
            self._counts.new += 1
        elif entry.size:
            self._counts.modified += 1
        else:
            self._counts.touched += 1

    def _contents(self, path: bytes, name: bytes, status, entry, extras: bytes):
        """A Task, or a Link if another name of the file came before."""
        key = (status.st_dev, status.st_ino)
        first = self._links.get(key) if status.st_nlink > 1 else None
        made: Task | Link
        if first is not None:
            made = Link(first, name, extras)
        else:
            made = Task(path, name, status, entry, extras)
            if status.st_nlink > 1:
                self._links[key] = made
        self._sink(made)
        return made

    def deleted(self, gone) -> None:
        """Count the files that are no longer there."""
        waiting = [(entry, 0) for entry in gone]
        while waiting:
            entry, depth = waiting.pop()
            if entry.type == dtf.REGULAR:
                self._counts.deleted += 1
            elif entry.type == dtf.DIRECTORY and entry.ref[0] == dtf.NODE_REF and depth < limits.TREE_DEPTH:
                [(parts, _)] = self._old.directories([entry.ref[1:]])
                waiting.extend([(below, depth + 1) for _, _, listed in parts for below in listed])
