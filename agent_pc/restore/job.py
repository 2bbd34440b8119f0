"""A restore from end to end. `bobbin restore`; tests call `restore` with a Session.

Every path comes back below the target with its full path: /home/a/x restored to DIR is DIR/home/a/x.
"""

import dataclasses
import os
import sys
from collections import deque

from agent_pc.dtm.line import Line, Stopped
from agent_pc.exits import AgentError
from agent_pc.fdm.base import root
from agent_pc.progress import Quiet
from agent_pc.restore import metadata
from agent_pc.restore.files import Files
from agent_pc.restore.paths import Target
from agent_pc.restore.special import Special
from agent_pc.sysinfo.collect import NAME as SYSTEM
from agent_pc.views import walk
from agent_pc.views.choose import choose
from firmware.formats import dtf

_SWITCH_S = 0.0005


class Options:
    """`overwrite`: replace files that exist (else they are refused); `source`: "disk" or "tape"."""

    def __init__(self, overwrite: bool = False, source: str = "disk"):
        self.overwrite = overwrite
        self.source = source


@dataclasses.dataclass
class Result:
    """`problems` [(path, text)]; `lost` of them are files that the appliance could not give."""

    files: int = 0
    directories: int = 0
    others: int = 0
    links: int = 0
    bytes: int = 0
    lost: int = 0
    problems: list = dataclasses.field(default_factory=list)

    def as_dict(self) -> dict:
        return {**dataclasses.asdict(self), "problems": len(self.problems)}


class Restore:
    def __init__(self, session, tree, target: Target, options: Options, progress, result: Result):
        self._tree = tree
        self._target = target
        self._options = options
        self._result = result
        self._line = Line()
        self._files = Files(
            session, options.source, target, self._line, options.overwrite, self._report, self._finished, progress
        )
        self._special = Special(target, options.overwrite)
        self._directories: list = []  # (path, entry), their metadata comes last
        self._made: set = set()
        self._failed: set = set()
        self._first: dict = {}  # (device, inode) -> path of the name that is restored by contents
        self._links: deque = deque()

    def run(self, top, wanted: list) -> None:
        """`wanted`: [(path, Entry)] to restore with everything below."""
        try:
            for path, entry in wanted:
                for depth, directory in enumerate(walk.way(self._tree, top, path[:-1]), 1):
                    self._one(path[:depth], directory)
                if path:
                    self._one(path, entry)
                if entry.type == dtf.DIRECTORY:
                    for below, row in walk.below(self._tree, path, entry, lambda at, text: self._report(at, text, True)):
                        if (
                            path or below[0] != SYSTEM
                        ):  # of the PC it came from: not part of what is put back, unless it is named
                            self._one(below, row)
            self._files.finish()
            self._link_all()
            self._finish_directories()
        except Stopped:
            raise self._line.error or AgentError("INTERNAL", "restore: stopped without a reason") from None
        finally:
            self._line.stop()
            self._files.stop()

    def _one(self, path: tuple, entry) -> None:
        if path[:-1] in self._failed:
            self._failed.add(path)  # it was reported for the directory
            return
        try:
            if entry.type == dtf.DIRECTORY:
                self._directory(path, entry)
            elif entry.type != dtf.REGULAR:
                self._report_all(path, self._special.make(path, entry))
                self._result.others += 1
            elif entry.flags & dtf.HARD_LINK and self._first.setdefault((entry.device, entry.inode), path) != path:
                self._links.append((path, entry))
            elif self._special.free(path):
                self._regular(path, entry)
        except OSError as error:
            if entry.type == dtf.DIRECTORY:
                self._failed.add(path)
            self._report(path, f"cannot be restored: {error.strerror}", False)

    def _directory(self, path: tuple, entry) -> None:
        if path not in self._made:
            self._target.make(path)
            self._made.add(path)
            self._directories.append((path, entry))
            self._result.directories += 1

    def _regular(self, path: tuple, entry) -> None:
        if entry.ref[0] == dtf.FILE:
            self._files.add(path, entry)
        elif entry.size:
            self._report(path, "has no contents in this view", True)
        else:
            self._report_all(path, self._special.empty(path, entry))
            self._result.files += 1

    def _link_all(self) -> None:
        """Further names of files, now that the first is there."""
        for path, entry in self._links:
            first = self._first[entry.device, entry.inode]
            try:
                self._special.link(path, first)
                self._result.links += 1
                self._result.files += 1
            except OSError as error:
                self._report(path, f"cannot be linked to {text(first)}: {error.strerror}", False)

    def _finish_directories(self) -> None:
        """Deepest first: what is written into a directory changes its time."""
        for path, entry in reversed(self._directories):
            try:
                self._report_all(path, metadata.apply(self._target.handle(path), entry))
            except OSError as error:
                self._report(path, f"metadata: {error.strerror}", False)

    def _finished(self, writer) -> None:
        self._result.files += 1
        self._result.bytes += writer.entry.size

    def _report_all(self, path: tuple, texts: list) -> None:
        for line in texts:
            self._report(path, line, False)

    def _report(self, path: tuple, line: str, lost: bool) -> None:
        self._result.problems.append((b"/" + b"/".join(path), line))
        self._result.lost += lost


def text(path: tuple) -> str:
    return os.fsdecode(b"/" + b"/".join(path)).encode("utf-8", "backslashreplace").decode()


def restore(
    session, paths: list, wanted_view: int | str | None, to: bytes, options: Options | None = None, progress=None
) -> Result:
    """Bring `paths` (bytes; none: everything) of a view below the directory `to`. Raises AgentError NOT_FOUND, UNREACHABLE, STATE."""
    options = options or Options()
    _, views = session.views(options.source)
    view = choose(views, wanted_view)
    top = root(view)
    tree = walk.open_tree(session, options.source)
    wanted = [walk.lookup(tree, view, path) for path in paths] or [((), top)]
    try:
        target = Target(to)
    except OSError as error:
        raise AgentError("USAGE", f"{os.fsdecode(to)}: cannot restore there: {error.strerror}") from None
    result = Result()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        Restore(session, tree, target, options, progress or Quiet(), result).run(top, wanted)
    finally:
        sys.setswitchinterval(interval)
        target.close()
    return result
