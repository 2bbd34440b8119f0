"""Reading a file as it is, and noticing whether somebody wrote to it. The last of the ways in afm.sources; used by fdm.rfe."""

import os
import re
import stat
import time

from agent_pc.afm.guard import Frozen
from firmware.formats import dtf

TICK_NS = 20_000_000  # file times move in kernel ticks: two writes within one look alike
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# From this version on a file's times are as fine as needed: what was written after a look at them is seen in them.
_FINE = (6, 13)
CHANGED = "changed while it was read; kept as it was read"


def written_ns(status: os.stat_result, now_ns: int) -> int:
    """When it was written to last, ns since 1970. A modification time that lies ahead was set by somebody: then the change time."""
    return status.st_mtime_ns if status.st_mtime_ns <= now_ns else status.st_ctime_ns


def safe(status: os.stat_result, now_ns: int, write_free_ns: int) -> bool:
    return not write_free_ns or now_ns - written_ns(status, now_ns) >= write_free_ns


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing was written between the two."""
    return one.st_mtime_ns == other.st_mtime_ns and one.st_ctime_ns == other.st_ctime_ns and one.st_size == other.st_size


def open_regular(path: bytes) -> tuple:
    """(handle, stat) of a regular file. Raises OSError."""
    try:
        handle = os.open(path, _OPEN | os.O_NOATIME)
    except PermissionError:
        handle = os.open(path, _OPEN)  # O_NOATIME is for the owner
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise OSError(0, "is no longer the regular file that was listed")
    return handle, status


def fine(release: str) -> bool:
    """Whether a Linux of this release has fine times."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is not None and (int(found[1]), int(found[2])) >= _FINE


FINE = fine(os.uname().release) if hasattr(os, "uname") and os.uname().sysname == "Linux" else False


def certain(status: os.stat_result, now_ns: int) -> bool:
    """Whether a write after this stat would show in the next one."""
    return FINE or not 0 <= now_ns - status.st_ctime_ns < TICK_NS


def dated(status: os.stat_result) -> os.stat_result:
    """The same, but if a write after it might not show in the file's times, with a change time that makes the next backup look."""
    if certain(status, time.time_ns()):
        return status
    more = {field: getattr(status, field) for field in dir(status) if field.startswith("st_")}
    return os.stat_result(tuple(status), {**more, "st_ctime_ns": status.st_ctime_ns - 1})


def tick(status: os.stat_result) -> bool:
    """Waits until a later write would show in the file's times: whether that took time."""
    age = time.time_ns() - status.st_ctime_ns
    if 0 <= age < TICK_NS:
        time.sleep((TICK_NS - age) / 1e9)
        return True
    return False


class Plain(Frozen):
    """Not frozen, only watched: quiesced if nobody wrote to it for the write-free period before, and while it was read."""

    def __init__(self, path: bytes, device: int, write_free_ns: int):
        """Raises OSError."""
        handle, status = open_regular(path)
        if tick(status):
            status = os.fstat(handle)
        super().__init__(handle, status, dtf.QUIESCED if safe(status, time.time_ns(), write_free_ns) else dtf.UNGUARDED)
        if status.st_dev != device:
            self.close()
            raise OSError(0, "is no longer the regular file that was listed")

    def verdict(self) -> tuple[int, str]:
        if same(self.status, os.fstat(self.handle)):
            return self.label, ""
        return dtf.UNGUARDED, CHANGED
