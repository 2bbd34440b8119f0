"""A restore from end to end. `bobbin restore`; tests call `restore` with a Session.

Every path comes back below the target with its full path: /home/a/x restored to DIR is DIR/home/a/x.
"""

import os
import time
from collections import deque

from agent_pc.dtm.line import Line, Stopped
from agent_pc.exits import AgentError, Cut
from agent_pc.progress import Quiet
from agent_pc.restore import existing, metadata
from agent_pc.restore.existing import PRESENT, SKIPPED, Existing
from agent_pc.restore.files import Files
from agent_pc.restore.outcome import Outcome, Result
from agent_pc.restore.paths import Target
from agent_pc.restore.special import Special
from agent_pc.restore.tuned import tuned
from agent_pc.sysinfo.place import NAME as SYSTEM
from agent_pc.views import walk
from agent_pc.views.choose import choose
from firmware.formats import dtf


class Options:
    """`existing`: one of existing.POLICIES; `source`: "disk" or "tape"; `verify`: read every file back from the disk;
    `wait_s`: how long to try to connect again after a cut."""

    def __init__(self, existing: str = existing.REFUSE, source: str = "disk", verify: bool = False, wait_s: float = 300):
        self.existing = existing
        self.source = source
        self.verify = verify
        self.wait_s = wait_s


class Restore:
    """One attempt. `made`: directories that this restore made, also in attempts before."""

    def __init__(self, session, tree, target: Target, options: Options, progress, result: Result, made: set):
        self._tree = tree
        self._target = target
        self._result = result
        self._outcome = Outcome(result)
        self._line = Line()
        self._existing = Existing(target, options.existing, result.view)
        self._files = Files(
            session, options.source, target, self._line, self._existing, self._outcome, progress, options.verify
        )
        self._special = Special(target, self._existing)
        self._directories: list = []  # (path, entry), their metadata comes last
        self._made = made
        self._entered: set = set()
        self._failed: set = set()
        self._first: dict = {}  # (device, inode) -> path of the name that is restored by contents
        self._links: deque = deque()

    def run(self, tops: list, wanted: list) -> None:
        """`wanted`: [(path, Entry)] to restore with everything below, none within another. `tops`: walk.tops of the view."""
        try:
            self._existing.enter((), False)
            for path, entry in wanted:
                leading = max([walk.way(self._tree, top, path[:-1]) for top in tops], key=len)
                for depth, directory in enumerate(leading, 1):
                    self._one(path[:depth], directory, False)
                if path:
                    self._one(path, entry)
                if entry.type == dtf.DIRECTORY:
                    for below, row in walk.below(
                        self._tree, path, entry, lambda at, text: self._outcome.report(at, text, True)
                    ):
                        # SYSTEM is of the PC it came from: not part of what is put back, unless it is named
                        if path or below[0] != SYSTEM:
                            self._one(below, row)
            self._files.finish()
            self._link_all()
            self._finish_directories()
        except Stopped:
            raise self._line.error or AgentError("INTERNAL", "restore: stopped without a reason") from None
        finally:
            self._line.stop()
            self._files.stop()

    def _one(self, path: tuple, entry, wanted: bool = True) -> None:
        """`wanted`: False for directories that only lead to what is."""
        if path[:-1] in self._failed:
            self._failed.add(path)  # it was reported for the directory
            return
        try:
            if entry.type == dtf.DIRECTORY:
                self._directory(path, entry, wanted)
            elif entry.flags & dtf.HARD_LINK and self._first.setdefault((entry.device, entry.inode), path) != path:
                self._links.append((path, entry))
            elif entry.type == dtf.REGULAR and entry.ref[0] == dtf.FILE:
                self._files.add(path, entry)
            elif entry.type == dtf.REGULAR and entry.size:
                self._outcome.report(path, "has no contents in this view", True)
            else:
                self._settle(path, entry, self._special.make(path, entry))
        except OSError as error:
            if entry.type == dtf.DIRECTORY:
                self._failed.add(path)
            self._outcome.report(path, f"cannot be restored: {error.strerror}", False)

    def _directory(self, path: tuple, entry, wanted: bool) -> None:
        if path in self._entered:
            return
        made = self._target.make(path)
        self._existing.enter(path, made)
        self._entered.add(path)
        if made:
            self._made.add(path)
        if not wanted and path in self._made:
            # A restore that is killed leaves it with this: one that goes on no longer knows that it was made.
            handle = self._target.handle(path)
            self._outcome.report_all(path, metadata.apply(handle, entry))
            os.fchmod(handle, entry.mode | 0o700)
        if wanted or path in self._made:
            self._directories.append((path, entry))
        self._result.directories += 1

    def _settle(self, path: tuple, entry, outcome: tuple) -> None:
        """Count what became of an entry without contents."""
        action, place, problems = outcome
        self._outcome.report_all(path, problems)
        if action == SKIPPED:
            self._outcome.skipped(path)
        elif entry.type == dtf.REGULAR:
            self._outcome.finished(path, place, entry, action == PRESENT)
        else:
            self._result.others += 1

    def _link_all(self) -> None:
        """Further names of files, now that the first is there."""
        for path, entry in self._links:
            first = self._first[entry.device, entry.inode]
            place = self._outcome.places.get(first)
            if place is None:
                self._outcome.report(
                    path, f"is another name of {text(first)}, which was not restored: restore it by itself", False
                )
                continue
            try:
                self._settle(path, entry, self._special.link(path, place, entry))
                self._result.links += 1
            except OSError as error:
                self._outcome.report(path, f"cannot be linked to {text(first)}: {error.strerror}", False)

    def _finish_directories(self) -> None:
        """Deepest first: what is written into a directory changes its time."""
        for path, entry in reversed(self._directories):
            try:
                self._outcome.report_all(path, metadata.apply(self._target.handle(path), entry))
            except OSError as error:
                self._outcome.report(path, f"metadata: {error.strerror}", False)


def text(path: tuple) -> str:
    return os.fsdecode(b"/" + b"/".join(path)).encode("utf-8", "backslashreplace").decode()


def restore(
    session,
    paths: list,
    wanted_view: int | str | None,
    to: bytes,
    options: Options | None = None,
    progress=None,
    reconnect=None,
) -> Result:
    """Bring `paths` (bytes; none: everything) of a view below the directory `to`. `reconnect()` gives a new Session after a cut.

    Raises AgentError NOT_FOUND, UNREACHABLE, STATE, BUSY.
    """
    options = options or Options()
    _, views = session.views(options.source)
    view = choose(views, wanted_view)
    tops = walk.tops(view)
    tree = walk.open_tree(session, options.source)
    wanted = _outer(dict([walk.lookup(tree, view, path) for path in paths]) or {(): tops[0]})
    try:
        target = Target(to)
    except OSError as error:
        raise AgentError("USAGE", f"{os.fsdecode(to)}: cannot restore there: {error.strerror}") from None
    try:
        target.lock()
        with tuned():
            return _attempts(session, tree, (view, tops, wanted), target, options, progress or Quiet(), reconnect)
    finally:
        target.close()


def _attempts(session, tree, what: tuple, target: Target, options: Options, progress, reconnect) -> Result:
    """Until all of `what` (view, and as Restore.run) went through, connecting again after each cut."""
    view, tops, wanted = what
    made: set = set()
    done, attempts = 0, 1
    while True:
        result = Result(view.view, attempts=attempts)
        try:
            Restore(session, tree, target, options, progress, result, made).run(tops, wanted)
            result.present -= done
            return result
        except Cut:
            if reconnect is None:
                raise
            done += result.files - result.present
            session = _again(session, reconnect, time.monotonic() + options.wait_s)
            tree = walk.open_tree(session, options.source)
            attempts += 1


def _outer(found: dict) -> list:
    """[(path, Entry)] without those that are within another."""
    return [row for row in sorted(found.items()) if not any(row[0][:depth] in found for depth in range(len(row[0])))]


def _again(session, reconnect, deadline: float):
    """A new Session; waits longer each time. Raises Cut when the deadline (monotonic s) has passed."""
    session.close()
    pause_s = 1.0
    while True:
        time.sleep(pause_s)
        try:
            return reconnect()
        except Cut:
            if time.monotonic() > deadline:
                raise
        pause_s = min(2 * pause_s, 30)
