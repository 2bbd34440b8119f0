"""What is put off until it is safe: one file, some files of a database or of a user's set, a directory with all below. Used by afm.waiting.

A group is entered when it is safe: then its members go into the directories that list them, and what must be read comes out as Tasks.
It is left again if somebody wrote meanwhile.
"""

import copy
import os
import stat

from agent_pc.afm import plain
from agent_pc.afm.kinds import Kind
from agent_pc.fdm.task import Directory, Task
from firmware.formats import dtf


class Group:
    """`kind`; `deadline` (monotonic s) of the waiting; `stamps`: what `look` said when it was entered.

    `events`: Tasks, and Links to them; `after`: what can go when those are settled. `late`: the deadline has passed, nothing is
    tried again; `loose`: and there was no moment to freeze it.
    """

    def __init__(self, kind: Kind, path: bytes, deadline: float):
        self.kind = kind
        self.path = path
        self.deadline = deadline
        self.late = False
        self.loose = False
        self.events: list = []
        self.after: list = []
        self.stamps: dict = {}
        self.problems: list = []
        self._tries = 0

    def name(self) -> str:
        return f"{self.kind.name} group"

    def paths(self) -> list:
        """Of all members, also such as may come to be."""
        raise NotImplementedError

    def look(self) -> dict:
        """{path: stat, None for what is not there}."""
        return {path: _stat(path) for path in self.paths()}

    def enter(self, stamps: dict) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """As if it had never been entered."""
        for task in self.tasks():
            task.thaw()
            task.slot = None
        self.events, self.problems = [], []
        self._tries += 1

    def adopt(self) -> None:
        """It is settled: what was counted counts."""

    def rows(self) -> list:
        """What is not complete in the directories as long as it waits."""
        raise NotImplementedError

    def least(self, task: Task) -> int | None:
        """Its size, if a small one need not be frozen."""
        return None

    def label(self, label: int) -> int:
        """A member's dtf label, from what reading it alone says."""
        return dtf.UNGUARDED if self.loose else label

    def problem(self, path: bytes, text: str) -> None:
        """Told when the group is settled."""
        self.problems.append((path, text))

    def sink(self, event) -> None:
        """From the scan."""
        if isinstance(event, Directory):
            self.after.append(event)
            return
        self.events.append(event)
        if isinstance(event, Task):
            event.group = self

    def watched(self) -> bool:
        """Whether it must be looked at once more when it was read."""
        return any(task.frozen is None for task in self.tasks() if task.slot is None)

    def tasks(self) -> list:
        return [event for event in self.events if isinstance(event, Task)]

    def unread(self) -> list:
        """Tasks in the order in which they must be frozen."""
        last = tuple(os.path.join(self.path, name) for name in self.kind.last)
        return sorted(
            [task for task in self.tasks() if task.slot is None], key=lambda task: task.path.startswith(last or (b"\0",))
        )

    def certain(self, stamps: dict, now_ns: int) -> bool:
        """Whether a write after `stamps` to what must not change would be seen."""
        names = [os.path.join(self.path, name) for name in self.kind.anchors] or list(stamps)
        return all(plain.certain(stamps[path], now_ns) for path in names if stamps.get(path) is not None)

    def still(self, stamps: dict, strict: bool) -> bool:
        """Whether `stamps` say the same as when it was entered; if not `strict`, as much as the database's log needs."""
        if strict or not self.kind.anchors:
            return _same(self.stamps, stamps)
        anchors = [os.path.join(self.path, name) for name in self.kind.anchors]
        last = tuple(os.path.join(self.path, name) for name in self.kind.last)
        return all(_alike(self.stamps.get(path), stamps.get(path)) for path in anchors) and _listed(
            self.stamps, last
        ) == _listed(stamps, last)


class Single(Group):
    """One file that was written to a moment ago. The Links to it go after it."""

    def __init__(self, task: Task, deadline: float):
        super().__init__(Kind("file"), task.path, deadline)
        self._task = task
        task.group = self

    def name(self) -> str:
        return "file"

    def paths(self) -> list:
        return [self._task.path]

    def least(self, task: Task) -> int | None:
        return None if self._tries or self.late else task.status.st_size

    def label(self, label: int) -> int:
        return label

    def certain(self, stamps: dict, now_ns: int) -> bool:
        return True

    def still(self, stamps: dict, strict: bool) -> bool:
        """One file frozen is of one moment, whatever is written to it."""
        return not strict or super().still(stamps, strict)

    def rows(self) -> list:
        return [self._task, *self.after]

    def enter(self, stamps: dict) -> None:
        status = stamps[self._task.path]
        if status is None:
            self._task.slot = ()  # deleted meanwhile: as if it had not been seen
        else:
            self._task.renew(status)
        self.events = [self._task]


class Files(Group):
    """Names in one or several directories. `scan`: the fdm.scan.Scan that found them."""

    def __init__(self, kind: Kind, path: bytes, deadline: float, scan):
        super().__init__(kind, path, deadline)
        self._scan = copy.copy(scan)  # it goes on, to other filesystems
        self._aside = scan
        self._rows: dict = {}  # path -> (directory, name, old Entry or None)

    def add(self, directory: Directory, name: bytes, entry) -> None:
        """A member, whether it is there or not."""
        self._rows[os.path.join(directory.path, name)] = (directory, name, entry)

    def paths(self) -> list:
        return list(self._rows)

    def rows(self) -> list:
        """Directories of its members, each once."""
        return list({id(row[0]): row[0] for row in self._rows.values()}.values())

    def enter(self, stamps: dict) -> None:
        scan = self._aside = self._scan.aside(self)
        for path, (directory, name, entry) in self._rows.items():
            if stamps[path] is not None and not stat.S_ISDIR(stamps[path].st_mode):
                scan.entry(directory, path, name, stamps[path], entry)
            elif entry is not None:
                scan.deleted([entry])
        for directory in self.rows():
            directory.rows.sort(key=_row_name)

    def leave(self) -> None:
        super().leave()
        for directory in self.rows():
            gone = {name for owner, name, _ in self._rows.values() if owner is directory}
            directory.rows[:] = [row for row in directory.rows if _row_name(row) not in gone]

    def adopt(self) -> None:
        self._scan.adopt(self._aside)


class User(Files):
    """A set that the user defined; complete at the end of the scan."""

    def __init__(self, name: str, deadline: float, scan):
        super().__init__(Kind(f"user-defined ({name})"), b"/", deadline, scan)


class Whole(Group):
    """A directory and everything below it."""

    def __init__(self, kind: Kind, directory: Directory, deadline: float, scan):
        super().__init__(kind, directory.path, deadline)
        self.directory = directory
        self._scan = copy.copy(scan)  # it goes on, to other filesystems
        self._aside = scan
        self._ignored = {os.path.join(directory.path, name) for name in kind.ignored}

    def paths(self) -> list:
        found, waiting = [], [self.path]
        while waiting:
            path = waiting.pop()
            found.append(path)
            try:
                with os.scandir(path) as listing:
                    for entry in listing:
                        if entry.path not in self._ignored:
                            (waiting if entry.is_dir(follow_symlinks=False) else found).append(entry.path)
            except OSError:
                pass  # gone: then its parent says so
        return found

    def enter(self, stamps: dict) -> None:
        self.directory.rows = []
        self._aside = self._scan.aside(self)
        self._aside.tree(self.directory)

    def rows(self) -> list:
        return [self.directory]

    def leave(self) -> None:
        super().leave()
        self.after = []
        self.directory.rows = []

    def adopt(self) -> None:
        self._scan.adopt(self._aside)


def written_ns(stamps: dict, now_ns: int) -> int:
    """When any of it was written to last."""
    return max([plain.written_ns(status, now_ns) for status in stamps.values() if status is not None], default=0)


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _row_name(row) -> bytes:
    return row[0] if type(row) is tuple else row.name


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(_alike(one[path], other[path]) for path in one)


def _alike(one, other) -> bool:
    if one is None or other is None:
        return one is other
    return one.st_ino == other.st_ino and plain.same(one, other)


def _listed(stamps: dict, below: tuple) -> list:
    return sorted(path for path in stamps if stamps[path] is not None and path.startswith(below or (b"\0",)))
