"""The log of written regions: for each file that a backup reads through the guard, what was written since which version.

In memory while the mount lives. A clean stop writes it down; a mark on the disk, made and fsynced before the first write, tells the
next start that there was no clean stop: then nothing is known (patent: "all FDA log information is totally invalidated").
"""

import fcntl
import json
import os
import tempfile

from agent_pc.exits import AgentError
from agent_pc.fda.regions import Regions

_RANGES = 1 << 15  # of one version; beyond that they get coarser
_VERSIONS = 4  # of one file: that of the last view, and those of backups that were not committed
_FILES = 10_000  # more are not remembered over a stop


class Entry:
    """One file. `stamp`: (mtime_ns, size) as the guard left it; `since`: signature in hex -> Regions."""

    def __init__(self, stamp: tuple):
        self.stamp = stamp
        self.since: dict = {}

    def written(self, start: int, end: int) -> None:
        for regions in self.since.values():
            regions.add(start, end)


class Log:
    """`directory`: of this mount, its own. Used under one lock, guard.inodes'."""

    def __init__(self, directory: str):
        """Raises AgentError(BUSY) if another mount of the same source lives; OSError."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self._mark = os.path.join(directory, "running")
        self._path = os.path.join(directory, "log.json")
        self.entries: dict = {}  # inode number -> Entry
        self.clean = not os.path.exists(self._mark)
        self._lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise AgentError("BUSY", f"{directory}: the source is guarded already by another mount") from None
        if self.clean:
            self._load()
        os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._sync()

    def _load(self) -> None:
        try:
            with open(self._path) as file:
                for number, mtime_ns, size, since in json.load(file):
                    entry = self.entries[number] = Entry((mtime_ns, size))
                    entry.since = {signature: Regions(ranges, _RANGES) for signature, ranges in since.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self.entries = {}  # none yet, or none that can be trusted

    def keep(self, number: int, stamp: tuple, signature: str, written: Regions) -> None:
        """Version `signature` is the file as it was before `written`."""
        entry = self.entries.setdefault(number, Entry(stamp))
        entry.stamp = stamp
        entry.since[signature] = held = Regions((), _RANGES)
        held.update(written)
        while len(entry.since) > _VERSIONS:
            del entry.since[next(iter(entry.since))]

    def drop(self, signature: str) -> None:
        for number, entry in list(self.entries.items()):
            entry.since.pop(signature, None)
            if not entry.since:
                del self.entries[number]

    def close(self) -> None:
        """A clean stop: nothing is written through the mount any more."""
        rows = [
            (number, *entry.stamp, {signature: list(regions) for signature, regions in entry.since.items()})
            for number, entry in list(self.entries.items())[-_FILES:]
        ]
        handle, temporary = tempfile.mkstemp(dir=self._directory)
        with os.fdopen(handle, "w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        self._sync()
        os.unlink(self._mark)
        self._sync()
        os.close(self._lock)

    def _sync(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
