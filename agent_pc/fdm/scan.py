"""One pass over the directories to back up, against the old tree: what is unchanged, new, modified, deleted. Called by agent_pc/backup.py.

Gives `sink` a Task for each file whose contents are needed, a Link for each further name of one, and each Directory once, after
everything in it. Names are bytes. Directories of the old tree are read through fdm.nodes.Tree. A directory that fdm.known recognises is
not compared, and the sink does not hear of one in and below which nothing is new.
"""

import copy
import os
import stat

from agent_pc.fdm import mounts, nodes
from agent_pc.fdm.counts import Counts
from agent_pc.fdm.entries import Entries
from agent_pc.fdm.exclude import TAG, is_cache
from agent_pc.fdm.known import Found, Known, Seen, mark
from agent_pc.fdm.task import Directory, Task
from firmware.formats import dtf, limits

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FORMAT, _REGULAR = 0o170000, stat.S_IFREG  # of st_mode


class Scan(Entries):
    """`old`: fdm.nodes.Tree; `sink(event)`; `problem(path, text)` reports what could not be read; `one_filesystem`: stay on each source's own;
    `exclusions`: fdm.exclude.Exclusions; `grafts` [(name, path)]: directories that the view shows as /name;
    `late`: afm.waiting.Waiting, which puts off what must be backed up as of one moment; `known`: what is recognised."""

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
        known: Known | None = None,
    ):
        super().__init__(old, sink, counts, problem)
        self._one = one_filesystem
        self._exclusions = exclusions
        self._grafts = dict(grafts)
        self._late = late
        self._known = known
        self._device = 0
        self._pseudo = mounts.pseudo_devices()
        self._extra: list = []  # Tasks of grafts

    def run(self, sources: list, bases: dict) -> Directory:
        """The finished root "/". `sources`: absolute paths, none within another; `bases`: path -> old Entry of that directory."""
        paths = [tuple(part for part in path.split(b"/") if part) for path in sources]
        return self._plan((), sorted(paths), bases)

    def aside(self, group) -> "Scan":
        """A scan of a part that may have to be done again: `group` gets its events and problems."""
        made = copy.copy(self)
        made._sink, made._problem = group.sink, group.problem
        made._counts, made._links, made._late, made._known = Counts(), dict(self._links), None, None
        return made

    def adopt(self, aside: "Scan") -> None:
        """What was done aside is part of this scan."""
        self._counts.add(aside._counts)
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

    def tree(self, top: Directory) -> None:
        """The whole of a directory, deepest first."""
        stack = [(top, iter(self._list(top, 1)))]
        while stack:
            directory, below = stack[-1]
            child = next(below, None)
            if child is not None:
                stack.append((child, iter(self._list(child, len(stack) + 1))))
                continue
            stack.pop()
            calm = self._leave(directory)
            if stack and not calm:
                stack[-1][0].stirred = True

    def _leave(self, directory: Directory) -> bool:
        """Everything below it is scanned. Whether the directory above can be what it was."""
        if directory.found is not None and directory.stirred:
            self._open(directory, directory.found)
        if self._known is None or not directory.same or directory.stirred:
            self._sink(directory)
            return False
        slots = directory.settle()
        if directory.seen is not None:
            self._known.keep(directory, slots, list(directory.digests.values()))
        return directory.slot[2] is directory.entry.raw

    def _list(self, directory: Directory, depth: int) -> list:
        """Look at a directory; gives the directories in it."""
        directory.stirred = False
        try:
            if depth > limits.TREE_DEPTH:
                raise OSError(0, f"deeper than {limits.TREE_DEPTH} directories")
            if not stat.S_ISDIR(directory.status.st_mode):
                raise OSError(0, "is no directory")
            handle = os.open(directory.path, _OPEN)
        except OSError as error:
            return self._unlisted(directory, error)
        try:
            try:
                with os.scandir(handle) as listing:
                    entries = list(listing)
            except OSError as error:
                return self._unlisted(directory, error)
            directory.found = found = self._known.find(directory, entries) if self._known is not None else None
            return self._compare(directory, entries, {}) if found is None else self._recognised(directory, found)
        finally:
            os.close(handle)

    def _recognised(self, directory: Directory, found: Found) -> list:
        """Its node is right, as far as it is not the nodes below."""
        self._counts.unchanged_files(*found.tally)
        self._counts.excluded += found.excluded
        directory.same = True
        if not found.children:
            return []
        prefix = directory.path + b"/"
        directory.rows = [
            self._directory(prefix + entry.name, entry.name, found.statuses[os.fsdecode(entry.name)], entry)
            for entry in found.children
        ]
        return directory.rows

    def _open(self, directory: Directory, found: Found) -> None:
        """Something below a directory that was recognised is new: its node must be made again."""
        self._counts.unchanged_files(*found.tally, by=-1)
        self._counts.excluded -= found.excluded
        below = {child.name: child for child in directory.rows}
        directory.rows, directory.found = [], None
        self._compare(directory, found.entries, below)

    def _compare(self, directory: Directory, entries: list, made: dict) -> list:
        """Fill `directory.rows` from a listing, entry by entry; gives the directories in it. `made`: those that were scanned before."""
        listed = {os.fsencode(entry.name): entry for entry in entries}
        names, out = self._wanted(directory.path, listed)
        groups = self._late.groups(directory.path, names) if self._late is not None else []
        if groups and groups[0].names is None:
            self._late.whole(self, directory, groups[0])
            return []
        old = self._digests(directory)
        late = self._late.files(self, directory, groups, names, old) if self._late is not None else ()
        directory.same = directory.same and not late
        below: list = []
        rows, pack, same, size = directory.rows, nodes.REF.pack, 0, 0
        prefix = directory.path.rstrip(b"/") + b"/"
        top = directory.path == b"/"
        certain = self._known is not None and not (groups or late or top or out is None)
        for name in names:
            if name in late:
                continue
            try:
                status = listed[name].stat(follow_symlinks=False)
            except OSError as error:
                self._problem(prefix + name, f"vanished: {error.strerror}")
                certain = False
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
                certain = certain and status.st_dev == directory.status.st_dev
                if self._crosses(status):
                    directory.same = directory.same and entry is not None
                    directory.stirred = True
                    rows.append(self._mount_point(prefix + name, name, status, entry))
                    continue
                child = made.get(name) or self._directory(prefix + name, name, status, entry)
                rows.append(child)
                below.append(child)
            else:
                self.entry(directory, prefix + name, name, status, entry)
        self._counts.unchanged_files(same, size)
        if top and self._grafts:
            self._graft(directory, old)
        if old:
            directory.same = False
            self.deleted(old.values())
        directory.seen = Seen([listed[name] for name in names], out) if certain else None
        return below

    def _wanted(self, path: bytes, listed: dict) -> tuple:
        """(names in order, without what is left out; marks of that, None where they cannot be kept)."""
        names = sorted(listed)
        marks: list | None = []
        rules = self._exclusions
        if rules is not None:
            if rules.cachedir_tag and TAG in listed and is_cache(path):
                self._counts.excluded += len(names) - 1
                names, marks = [TAG], None
            prefix = path.rstrip(b"/") + b"/"
            suspects = rules.suspects(path, names)
            out = {name for name in suspects if rules.excluded(prefix + name, listed[name].is_dir(follow_symlinks=False))}
            self._counts.excluded += len(out)
            names = [name for name in names if name not in out] if out else names
            marks = marks if marks is None else [mark(listed[name]) for name in out]
        return [name for name in names if path != b"/" or name not in self._grafts], marks

    def _graft(self, directory: Directory, old: dict) -> None:
        """What the root shows besides what is there."""
        made = [self._grafted(name, old.pop(name, None)) for name in self._grafts]
        directory.stirred = directory.stirred or any(not _calm(graft) for graft in made)
        directory.rows = sorted([*directory.rows, *made], key=_name)

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

    def _unlisted(self, directory: Directory, error: OSError) -> list:
        """It refuses to be listed: keep what the old tree knew of it."""
        self._problem(directory.path, f"cannot be listed: {error.strerror}")
        old = self._digests(directory)
        directory.rows.extend([(name, nodes.REF.pack(*entry.ref), entry.raw) for name, entry in sorted(old.items())])
        return []


def _name(row) -> bytes:
    return row[0] if type(row) is tuple else row.name


def _calm(directory: Directory) -> bool:
    """Whether it and its entry are what they were."""
    return bool(directory.slot) and directory.entry is not None and directory.slot[2] is directory.entry.raw
