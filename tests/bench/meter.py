"""Runs one command against one server and measures both: time, processor time, bytes, memory. Used by tests/bench/backup.py.

Processor time is of whole process trees, the finished children included. Memory is the largest sum of VmHWM (the kernel's own
peak of a process) over the processes that a tree had at one moment; it is set back before a measurement.
"""

import dataclasses
import os
import subprocess
import threading
import time
from pathlib import Path

from image.paths import BuildError
from tests.bench import traffic

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.05
_QUIET_S = 0.3
_SETTLE_S = 120


@dataclasses.dataclass
class Figures:
    """Of one command. Seconds, bytes, kilobytes."""

    wall_s: float = 0.0
    cpu_agent_s: float = 0.0
    cpu_server_s: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_stored: int = 0
    rss_server_kb: int = 0
    rss_agent_kb: int = 0


def measure(command: list, servers: list, store: Path, log: Path, **options) -> Figures:
    """`servers`: pids of the server's processes; `store`: the folder that it keeps everything in. Raises BuildError if it fails."""
    os.sync()
    for pid in _trees(servers):
        forget_peak(pid)
    before = traffic.counts() + (_stored(store), cpu_s(servers))
    with open(log, "ab") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)
        peaks = _Peaks((servers, [process.pid]))
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    rss_server_kb, rss_agent_kb = peaks.stop()
    if process.returncode:
        raise BuildError("%s: exit status %d, see %s" % (" ".join(map(str, command)), process.returncode, log))
    _settle(servers)
    after = traffic.counts() + (_stored(store), cpu_s(servers))
    sent, received, stored, cpu_server_s = (now - then for now, then in zip(after, before))
    cpu_agent_s = usage.ru_utime + usage.ru_stime
    return Figures(wall_s, cpu_agent_s, cpu_server_s, sent, received, stored, rss_server_kb, rss_agent_kb)


class _Peaks:
    """A thread that looks at process trees until `stop`."""

    def __init__(self, roots: tuple):
        self._roots = roots
        self._peaks = [0] * len(roots)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        for position, pids in enumerate(self._roots):
            self._peaks[position] = max(self._peaks[position], sum(map(peak_kb, _trees(pids))))

    def stop(self) -> list:
        self._end.set()
        self._thread.join()
        return self._peaks


def _trees(pids: list) -> list:
    """`pids` and all that they started."""
    found, rest = [], list(pids)
    while rest:
        pid = rest.pop()
        found.append(pid)
        for thread in _threads(pid):
            rest += map(int, _text("/proc/%d/task/%s/children" % (pid, thread)).split())
    return found


def _threads(pid: int) -> list:
    try:
        return os.listdir("/proc/%d/task" % pid)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _text(path) -> str:
    """Contents, or nothing if the process is gone."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def peak_kb(pid: int) -> int:
    """The most that a process had resident, kilobytes; 0 if it is gone."""
    _, _, rest = _text("/proc/%d/status" % pid).partition("VmHWM:")
    return int(rest.split()[0]) if rest else 0


def forget_peak(pid: int) -> None:
    """proc(5), clear_refs: 5 sets VmHWM back to what is resident now."""
    try:
        Path("/proc/%d/clear_refs" % pid).write_text("5")
    except OSError:
        pass  # it has just ended


def cpu_s(pids: list) -> float:
    """User and system time, children waited for included: proc(5), stat, fields 14 to 17."""
    fields = (_text("/proc/%d/stat" % pid).rpartition(")")[2].split() for pid in _trees(pids))
    return sum(sum(map(int, row[11:15])) for row in fields if row) / _TICKS


def _settle(servers: list) -> None:
    """Wait until the server has nothing left to do for the command: no child is left, and no processor time is used."""
    deadline, last = time.monotonic() + _SETTLE_S, -1.0
    while time.monotonic() < deadline:
        now = cpu_s(servers)
        if now - last < 2 / _TICKS and len(_trees(servers)) == len(servers):
            return
        last = now
        time.sleep(_QUIET_S)


def _stored(folder: Path) -> int:
    """Bytes that the files of a folder take on the disk."""
    return 512 * sum(map(_blocks, _files(folder)))


def _blocks(entry) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks
    except FileNotFoundError:
        return 0  # a server has just removed it


def _files(folder: Path):
    with os.scandir(folder) as rows:
        for row in rows:
            if row.is_dir(follow_symlinks=False):
                yield from _files(Path(row.path))
            else:
                yield row
