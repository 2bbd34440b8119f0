"""One pass over the directories to back up, against the old tree: what is unchanged, new, modified, deleted. Called by agent_pc/backup.py.

Gives `sink` a Task for each file whose contents are needed, a Link for each further name of one, and each Directory once, after
everything in it. Names are bytes. Directories of the old tree are read through fdm.nodes.Tree.
"""

import copy
import dataclasses
import hashlib
import os
import stat

from agent_pc.exits import AgentError
from agent_pc.fdm import metadata, mounts, nodes
from agent_pc.fdm.exclude import TAG, is_cache
from agent_pc.fdm.task import Directory, Link, Task, unchanged
from firmware.formats import dtf, limits

_SIZED = (dtf.CHARACTER, dtf.BLOCK)
_FORMAT, _REGULAR = 0o170000, stat.S_IFREG  # of st_mode


@dataclasses.dataclass
class Counts:
    """What a backup found and did. `files` (by name) and `bytes` are all of the view.

    files = unchanged + new + modified + redundant (held already, not sent) + touched (only metadata changed) + kept (could not be
    read: the version before it stays). excluded: names left out, each directory once; they are not in `files`.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    bytes: int = 0
    unchanged: int = 0
    new: int = 0
    modified: int = 0
    redundant: int = 0
    touched: int = 0
    kept: int = 0
    deleted: int = 0
    excluded: int = 0
    problems: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    packs: int = 0
    nodes: int = 0
    bytes_sent: int = 0


class Scan:
    """`old`: fdm.nodes.Tree; `sink(event)`; `problem(path, text)` reports what could not be read; `one_filesystem`: stay on each source's own;
    `exclusions`: fdm.exclude.Exclusions; `grafts` [(name, path)]: directories that the view shows as /name;
    `late`: afm.waiting.Waiting, which puts off what must be backed up as of one moment."""

    def __init__(
        self,
        old: nodes.Tree,
        sink,
        counts: Counts,
        problem,
        one_filesystem: bool = False,
        exclusions=None,
        grafts=(),
        late=None,
    ):
        self._old = old
        self._sink = sink
        self._counts = counts
        self._problem = problem
        self._one = one_filesystem
        self._exclusions = exclusions
        self._grafts = dict(grafts)
        self._late = late
        self._device = 0
        self._pseudo = mounts.pseudo_devices()
        self._owners = metadata.Owners()
        self._links: dict = {}
        self._extra: list = []  # Tasks of grafts

    def run(self, sources: list, bases: dict) -> Directory:
        """The finished root "/". `sources`: absolute paths, none within another; `bases`: path -> old Entry of that directory."""
        paths = [tuple(part for part in path.split(b"/") if part) for path in sources]
        return self._plan((), sorted(paths), bases)

    def aside(self, group) -> "Scan":
        """A scan of a part that may have to be done again: `group` gets its events and problems."""
        made = copy.copy(self)
        made._sink, made._problem = group.sink, group.problem
        made._counts, made._links, made._late = Counts(), dict(self._links), None
        return made

    def adopt(self, aside: "Scan") -> None:
        """What was done aside is part of this scan."""
        for field in dataclasses.fields(Counts):
            setattr(self._counts, field.name, getattr(self._counts, field.name) + getattr(aside._counts, field.name))
        self._links.update(aside._links)

    def _plan(self, at: tuple, paths: list, bases: dict) -> Directory:
        """A directory on the way to sources: it lists only what leads to them."""
        path = b"/" + b"/".join(at)
        status = os.lstat(path)
        made = self._directory(path, at[-1] if at else b"", status, bases.get(path))
        if paths == [at] or not stat.S_ISDIR(status.st_mode):
            self._device = status.st_dev
            self.tree(made)
            return made
        old = self._digests(made)
        grafts = self._grafts if not at else {}
        names = sorted({below[len(at)] for below in paths} | set(grafts))
        made.same = made.same and names == sorted(old)
        for name in names:
            if name in grafts:
                made.rows.append(self._grafted(name, old.get(name)))
                continue
            self._step(made, (*at, name), [below for below in paths if below[len(at)] == name], bases)
        self._sink(made)
        return made

    def _step(self, parent: Directory, at: tuple, paths: list, bases: dict) -> None:
        path = b"/" + b"/".join(at)
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            parent.rows.append(self._plan(at, paths, bases))
        else:
            self._device = status.st_dev
            self.entry(parent, path, at[-1], status, bases.get(path))

    def _directory(self, path: bytes, name: bytes, status, entry) -> Directory:
        if entry is not None and unchanged(entry.head, status, 0) and entry.type == dtf.DIRECTORY:
            extras = entry.tail
        else:
            extras = self._extras(path, status)
        self._counts.directories += 1
        return Directory(path, name, status, entry if entry is not None and entry.type == dtf.DIRECTORY else None, extras)

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

    def tree(self, top: Directory) -> None:
        """The whole of a directory, deepest first."""
        stack = [(top, iter(self._list(top, 1)))]
        while stack:
            directory, below = stack[-1]
            child = next(below, None)
            if child is None:
                stack.pop()
                self._sink(directory)
            else:
                stack.append((child, iter(self._list(child, len(stack) + 1))))

    def _list(self, directory: Directory, depth: int) -> list:
        """Fill `directory.rows`; returns the directories in it."""
        try:
            if depth > limits.TREE_DEPTH:
                raise OSError(0, f"deeper than {limits.TREE_DEPTH} directories")
            if not stat.S_ISDIR(directory.status.st_mode):
                raise OSError(0, "is no directory")
            with os.scandir(directory.path) as listing:
                found = self._wanted(directory.path, {entry.name: entry for entry in listing})
        except OSError as error:
            self._problem(directory.path, f"cannot be listed: {error.strerror}")
            return self._unlisted(directory, self._digests(directory))
        names = [name for name, _ in found]
        groups = self._late.groups(directory.path, names) if self._late is not None else []
        if groups and groups[0].names is None:
            self._late.whole(self, directory, groups[0])
            return []
        old = self._digests(directory)
        late = self._late.files(self, directory, groups, names, old) if self._late is not None else ()
        directory.same = directory.same and not late
        below: list = []
        rows, pack, same, size = directory.rows, nodes.REF.pack, 0, 0
        grafts = {name: self._grafted(name, old.pop(name, None)) for name in self._grafts} if directory.path == b"/" else {}
        for name, listed in found:
            if name in late:
                continue
            try:
                status = listed.stat(follow_symlinks=False)
            except OSError as error:
                self._problem(listed.path, f"vanished: {error.strerror}")
                continue
            entry = old.pop(name, None)
            if entry is not None and status.st_mode & _FORMAT == _REGULAR:
                head = entry.head  # most files of most scans: what `entry` would find, without its calls
                if (
                    head[7] == status.st_ctime_ns
                    and head[6] == status.st_mtime_ns
                    and head[9] == status.st_ino
                    and head[10] == status.st_size
                    and head[8] == status.st_dev
                    and head[0] == dtf.REGULAR
                    and not head[1] & dtf.TRUNCATED
                ):
                    same += 1
                    size += head[10]
                    rows.append((name, pack(*entry.ref), entry.raw))
                    continue
            if stat.S_ISDIR(status.st_mode):
                if self._crosses(status):
                    directory.same = directory.same and entry is not None
                    directory.rows.append(self._mount_point(listed.path, name, status, entry))
                    continue
                child = self._directory(listed.path, name, status, entry)
                directory.rows.append(child)
                below.append(child)
            else:
                self.entry(directory, listed.path, name, status, entry)
        self._counts.files += same
        self._counts.unchanged += same
        self._counts.bytes += size
        if old:
            directory.same = False
            self.deleted(old.values())
        if grafts:
            directory.rows = sorted([*directory.rows, *grafts.values()], key=_name)
        return below

    def _wanted(self, path: bytes, listed: dict) -> list:
        """[(name, entry)] in order, without what is left out."""
        names = sorted(listed)
        rules = self._exclusions
        if rules is not None:
            if rules.cachedir_tag and TAG in listed and is_cache(path):
                self._counts.excluded += len(names) - 1
                names = [TAG]
            prefix = path.rstrip(b"/") + b"/"
            suspects = rules.suspects(path, names)
            out = {name for name in suspects if rules.excluded(prefix + name, listed[name].is_dir(follow_symlinks=False))}
            self._counts.excluded += len(out)
            names = [name for name in names if name not in out] if out else names
        return [(name, listed[name]) for name in names if path != b"/" or name not in self._grafts]

    def _grafted(self, name: bytes, entry) -> Directory:
        """A directory that lies somewhere else. It is not the user's, so it does not count."""
        path = self._grafts[name]
        counts, sink = self._counts, self._sink
        self._counts, self._sink = Counts(), self._aside(sink)
        try:
            made = self._directory(path, name, os.lstat(path), entry)
            self.tree(made)
        finally:
            self._counts, self._sink = counts, sink
        return made

    def _aside(self, sink):
        def kept(event) -> None:
            self._extra.append(event)
            sink(event)

        return kept

    def uncount(self) -> None:
        """Once all is sent: what the next threads counted of the grafts goes, too."""
        for task in self._extra:
            if type(task) is Task and task.slot:
                setattr(self._counts, task.found, getattr(self._counts, task.found) - 1)
            elif type(task) is Task:
                self._counts.files += 1
                self._counts.bytes += task.status.st_size

    def _crosses(self, status) -> bool:
        return status.st_dev != self._device and (self._one or status.st_dev in self._pseudo)

    def _mount_point(self, path: bytes, name: bytes, status, entry) -> Directory:
        """An empty directory stands for a filesystem that is left out."""
        made = self._directory(path, name, status, entry)
        if self._digests(made):
            made.same = False
        self._sink(made)
        return made

    def _unlisted(self, directory: Directory, old: dict) -> list:
        """Keep what the old tree knew of a directory that refuses to be listed."""
        directory.rows.extend([(name, nodes.REF.pack(*entry.ref), entry.raw) for name, entry in sorted(old.items())])
        return []

    def entry(self, directory: Directory, path: bytes, name: bytes, status, entry) -> None:
        """One entry that is no directory."""
        type_ = nodes.TYPES.get(stat.S_IFMT(status.st_mode))
        if type_ is None:
            self._problem(path, f"unknown file type {stat.S_IFMT(status.st_mode):o}")
            return
        size = status.st_size if type_ == dtf.REGULAR else status.st_rdev if type_ in _SIZED else 0
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


def _name(row) -> bytes:
    return row[0] if type(row) is tuple else row.name


def normal_sources(arguments: list) -> list:
    """Absolute paths (bytes) of the sources, none within another. Raises AgentError(SOURCE) for one that is not there."""
    found = []
    for argument in arguments:
        path = os.path.realpath(os.fsencode(argument))
        try:
            os.lstat(path)
        except OSError as error:
            raise AgentError("SOURCE", f"{os.fsdecode(argument)}: cannot be backed up: {error.strerror}") from None
        found.append(path)
    found = sorted(set(found))
    return [path for path in found if not any(path.startswith(other.rstrip(b"/") + b"/") for other in found if other != path)]
