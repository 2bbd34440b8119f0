"""What is not safe yet waits here, while everything else is sent. Used by agent_pc/backup.py and fdm.scan, in the scan's thread.

A group is looked at when it can be safe for the first time, never before. When it is, its members are frozen where there is a way to;
the others are read and looked at once more (Settle), and if somebody wrote meanwhile, the group waits again. Directories that list
what waits are held back until the end.
"""

import fnmatch
import heapq
import os
import queue
import re
import time
from collections import Counter

from agent_pc.afm import group as groups
from agent_pc.afm import kinds, plain
from agent_pc.afm.clone import room
from agent_pc.afm.group import Files, Group, Single, Whole
from agent_pc.afm.options import Options
from agent_pc.afm.sources import Sources
from agent_pc.fdm.task import Directory, Link, Task

_PRESSED = 8  # a group that never rests is frozen so often, in the hope that nobody writes in between
_PRESSED_S = 0.03
_AGAIN_S = 0.1
_CHECK_S = 0.2


class Clock:
    """Seconds of waiting, and the wall clock that file times are compared with."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()


class Settle:
    """After the last Task of a group that is not frozen. The assembling thread calls `ok`; what is not ok counts as not seen."""

    def __init__(self, group: Group, answers: queue.SimpleQueue):
        self.group = group
        self._answers = answers

    def ok(self) -> bool:
        group = self.group
        ok = group.late or group.still(group.look(), True)
        self._answers.put((group, ok))
        return ok


class Waiting:
    """`problem(path, text)`; `notice(path, text)`: nothing is missing, but somebody may want to know; `own`: directories of the agent."""

    def __init__(
        self, options: Options, sources: Sources, problem, notice, clock: Clock | None = None, own: list | None = None
    ):
        self._options = options
        self._sources = sources
        self._problem = problem
        self._notice = notice
        self._clock = clock or Clock()
        self._own = tuple(path + b"/" for path in own or ())
        self._users = {name: _pattern(patterns) for name, patterns in options.groups.items()}
        self._sets: dict[str, Files] = {}
        self._heap: list = []
        self._count = 0
        self._open = 0
        self._ready: list = []
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._held: Counter = Counter()  # ids of rows and directories that are not complete
        self._singles: dict[int, Single] = {}
        self._whole: set[int] = set()
        self._directories: list = []
        self._safe_before_ns = self._clock.time_ns() - options.write_free_ns

    # -- what the scan asks

    def groups(self, path: bytes, names: list) -> list:
        """[kinds.Found] in a directory."""
        return kinds.recognise(path, names) if self._options.databases else []

    def whole(self, scan, directory: Directory, found: kinds.Found) -> None:
        """Put off everything in and below `directory`."""
        group = Whole(found.kind, directory, self._deadline(), scan)
        self._whole.add(id(directory))
        self._hold(directory)
        self._put(group)

    def files(self, scan, directory: Directory, found: list, names: list, old: dict) -> set:
        """Names of `directory` that are put off; their entries are taken out of `old`."""
        late: set = set()
        for wanted, group in self._members(scan, directory, found, names):
            for name in [name for name in wanted if name not in late]:
                group.add(directory, name, old.pop(name, None))
            late.update(wanted)
            self._hold(directory)
            if not isinstance(group, groups.User):
                self._put(group)
        return late

    def _members(self, scan, directory: Directory, found: list, names: list):
        """(names, Files): the user's sets first; a database of which one belongs to a set belongs to it with all."""
        for name, pattern in self._users.items():
            wanted = {member for member in names if pattern.match(os.path.join(directory.path, member))}
            if wanted:
                joined = [row for row in found if wanted & set(row.names)]
                found = [row for row in found if row not in joined]
                yield sorted(wanted.union(*[row.names for row in joined])), self._set(name, scan)
        for row in found:
            yield row.names, Files(row.kind, directory.path, self._deadline(), scan)

    def _set(self, name: str, scan) -> Files:
        if name not in self._sets:
            self._sets[name] = groups.User(name, self._deadline(), scan)
            self._open += 1
        return self._sets[name]

    # -- what the scan gives

    def holds(self, event) -> bool:
        """Whether the event is put off; if so it comes out of `take` or `rest`."""
        if type(event) is Task:
            if event.status.st_mtime_ns < self._safe_before_ns or self._safe(event.status) or event.path.startswith(self._own):
                return False
            self._singles[id(event)] = single = Single(event, self._deadline())
            self._hold(event)
            self._put(single)
            return True
        if not self._held:
            return False
        if type(event) is Link:
            return self._holds_link(event)
        return self._holds_directory(event)

    def _safe(self, status: os.stat_result) -> bool:
        now_ns = self._clock.time_ns()
        self._safe_before_ns = now_ns - self._options.write_free_ns
        return plain.safe(status, now_ns, self._options.write_free_ns)

    def _holds_link(self, link: Link) -> bool:
        single = self._singles.get(id(link.first))
        if single is None:
            return False
        single.after.append(link)
        self._hold(link)
        return True

    def _holds_directory(self, directory: Directory) -> bool:
        if id(directory) in self._whole:
            return True  # it comes again when it is entered
        if not self._held[id(directory)] and not any(id(row) in self._held for row in directory.rows):
            return False
        self._directories.append(directory)
        self._hold(directory)
        return True

    def _hold(self, row) -> None:
        self._held[id(row)] += 1

    # -- waiting

    def _deadline(self) -> float:
        return self._clock.monotonic() + self._options.give_up_s

    def _put(self, group: Group) -> None:
        self._open += 1
        self._push(group, self._clock.monotonic())

    def _push(self, group: Group, due: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, group))

    def poll(self) -> None:
        """Look at what may be safe by now. Costs nothing if nothing can be."""
        while not self._answers.empty():
            self._settled(*self._answers.get())
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            self._look(heapq.heappop(self._heap)[2], now)

    def take(self) -> list:
        """Events that are ready."""
        ready, self._ready = self._ready, []
        return ready

    def complete(self) -> None:
        """The scan is at its end: the members of the user's sets are known."""
        for group in self._sets.values():
            group.deadline = self._deadline()
            self._push(group, self._clock.monotonic())

    def busy(self) -> bool:
        """Whether something still waits, or is not settled."""
        return self._open > 0

    def wait(self) -> None:
        """Until something may have changed, `_CHECK_S` at most."""
        due = self._heap[0][0] - self._clock.monotonic() if self._heap else _CHECK_S
        try:
            self._settled(*self._answers.get(timeout=min(max(due, 0.001), _CHECK_S)))
        except queue.Empty:
            pass
        self.poll()

    def rest(self) -> list:
        """The directories that were held back, when nothing is busy any more."""
        held, self._directories = self._directories, []
        self._held.clear()
        return held

    def _look(self, group: Group, now: float) -> None:
        stamps = group.look()
        wall_ns = self._clock.time_ns()
        missing_s = self._options.write_free_s - (wall_ns - groups.written_ns(stamps, wall_ns)) / 1e9
        if missing_s <= 0 and self._freeze(group, stamps, True):
            self._go(group)
        elif now < group.deadline:
            self._push(group, min(now + max(missing_s, _AGAIN_S), group.deadline))
        else:
            self._give_up(group)

    def _freeze(self, group: Group, stamps: dict, strict: bool) -> bool:
        """Enter the group and freeze its members, as far as possible: whether it stood still all the time."""
        group.stamps = stamps
        group.enter(stamps)
        unread = group.unread()
        room(len(unread))
        for task in unread:
            task.frozen = self._sources.freeze(task.path, group.least(task))
        if group.still(group.look(), strict):
            return True
        group.leave()
        return False

    def _give_up(self, group: Group) -> None:
        """No safe moment: one moment at least, if the filesystem can; else as it is."""
        text = f"{group.name()}: no {self._options.write_free_s:g} s without a write within {self._options.give_up_s:g} s"
        group.late = True
        for attempt in range(_PRESSED):
            time.sleep(_PRESSED_S if attempt else 0)
            stamps = group.look()
            if group.certain(stamps, self._clock.time_ns()) and self._freeze(group, stamps, False):
                if group.watched():
                    group.leave()
                    break
                self._notice(group.path, text + "; taken as of one moment")
                self._go(group)
                return
        group.stamps = group.look()
        group.enter(group.stamps)
        group.loose = True
        (self._notice if isinstance(group, Single) else self._problem)(group.path, text + "; read while it is in use")
        self._go(group)

    def _go(self, group: Group) -> None:
        self._ready.extend(group.events)
        if group.watched():
            self._ready.append(Settle(group, self._answers))
        else:
            self._settled(group, True)

    def _settled(self, group: Group, ok: bool) -> None:
        if not ok:
            group.leave()
            self._push(group, self._clock.monotonic())
            return
        self._open -= 1
        for path, text in group.problems:
            self._problem(path, text)
        group.adopt()
        self._ready.extend(group.after)
        for row in group.rows():
            self._release(row)

    def _release(self, row) -> None:
        self._singles.pop(id(row), None)
        self._whole.discard(id(row))
        self._held[id(row)] -= 1
        if not self._held[id(row)]:
            del self._held[id(row)]


def _pattern(patterns: list) -> re.Pattern:
    return re.compile(b"|".join(fnmatch.translate(text).encode("utf-8", "surrogateescape") for text in patterns), re.S)
