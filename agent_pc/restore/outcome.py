"""What became of what was to be restored: counted and told by the walk's thread and by the writing one. Used by agent_pc/restore."""

import threading

from firmware.formats import dtf


class Result:
    """`files` are in place and right, `present` of them were so before; `skipped`: another file stays in their place.

    `problems` [(path, text)]; `lost` of them are files that the appliance could not give.
    """

    def __init__(self, view: int = 0, attempts: int = 1):
        self.view = view
        self.files = 0
        self.directories = 0
        self.others = 0
        self.links = 0
        self.bytes = 0
        self.present = 0
        self.skipped = 0
        self.lost = 0
        self.attempts = attempts
        self.problems: list = []

    def as_dict(self) -> dict:
        return {**vars(self), "problems": len(self.problems)}


class Outcome:
    """Fills a Result. `places`: {path of a file with more names: where it is now}."""

    def __init__(self, result: Result):
        self.places: dict = {}
        self._result = result
        self._lock = threading.Lock()

    def finished(self, path: tuple, place: tuple, entry, present: bool) -> None:
        """The file is at `place`; `present`: it was there before."""
        with self._lock:
            self._result.files += 1
            self._result.present += present
            self._result.bytes += entry.size
            if entry.flags & dtf.HARD_LINK:
                self.places.setdefault(path, place)

    def skipped(self, path: tuple) -> None:
        """Another stays in its place."""
        with self._lock:
            self._result.skipped += 1

    def report(self, path: tuple, line: str, lost: bool) -> None:
        """Something about it did not work."""
        with self._lock:
            self._result.problems.append((b"/" + b"/".join(path), line))
            self._result.lost += lost

    def report_all(self, path: tuple, texts: list) -> None:
        """Small failures."""
        for line in texts:
            self.report(path, line, False)
