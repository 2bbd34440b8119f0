"""Says on what machine figures were taken, and how busy others kept it meanwhile."""

import os
import platform
import resource
import time
from pathlib import Path

_BUSY_SHARE = 0.1  # of one core, on average: more than that and the figures are not worth comparing with others
_TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> dict:
    memory = Path("/proc/meminfo").read_text().partition("MemTotal:")[2].split()[0]
    return {
        "cores": os.cpu_count(),
        "memory_mb": int(memory) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


class Load:
    """Processor time that neither this process nor what it waited for has used, since the object was made."""

    def __init__(self):
        self._began = self._now()

    def describe(self) -> dict:
        wall_s, busy_s, own_s = (now - then for now, then in zip(self._now(), self._began))
        share = max(busy_s - own_s, 0) / wall_s
        return {"busy_with_others": round(share, 2), "state": "contended" if share > _BUSY_SHARE else "quiet"}

    @staticmethod
    def _now() -> tuple:
        """Seconds: the clock; busy on all cores, by proc_stat(5); of this process and its children."""
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return time.monotonic(), (user + nice + system + irq + softirq + steal) / _TICKS, own_s
