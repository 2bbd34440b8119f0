"""A memory cgroup: the appliance gets no more memory than a small box has, page cache and sockets included. Version 1 or 2."""

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NAME = "bobbin-scale-%d" % os.getpid()


class Cage:
    """`limited`: whether this machine lets us set a limit; if not, processes run without one and `peak_bytes` is 0."""

    def __init__(self, limit_bytes: int):
        self._folder = None
        for folder, limit, peak, count in _candidates():
            try:
                folder.mkdir()
                (folder / limit).write_text(str(limit_bytes))
            except OSError:
                continue
            self._folder, self._peak, self._count = folder, folder / peak, folder / count
            break
        self.limited = self._folder is not None

    def prefix(self) -> list:
        """What goes in front of a command to run it inside."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self._folder)] if self.limited else []

    def peak_bytes(self) -> int:
        """The most memory that was charged at one time, page cache included."""
        return int(self._peak.read_text()) if self.limited else 0

    def refused(self) -> int:
        """How often memory had to be taken back because the limit was reached."""
        text = self._count.read_text() if self.limited else "0"
        return int(dict(line.split() for line in text.splitlines())["max"]) if " " in text else int(text)

    def close(self) -> None:
        """When all processes in it have ended."""
        if self.limited:
            self._folder.rmdir()


def _candidates():
    """(folder, file of the limit, of the peak, of how often the limit was met), for each version of cgroups."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = _ROOT / "memory" / path.lstrip("/") / _NAME
            yield folder, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt"
    yield _ROOT / _NAME, "memory.max", "memory.peak", "memory.events"
