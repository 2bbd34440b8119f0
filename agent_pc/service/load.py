"""What the PC is doing: processors, waiting for disks, battery, network. Read by runner.py through psutil."""

import time

import psutil

from agent_pc.service.machine import Reading

_SAMPLE_S = 1.0  # the shortest time that says something


class Meter:
    """Each reading is over the time since the one before it."""

    def __init__(self):
        self._before = psutil.cpu_times()
        self._read_s = time.monotonic()

    def read(self) -> Reading:
        wait_s = _SAMPLE_S - (time.monotonic() - self._read_s)
        if wait_s > 0:
            time.sleep(wait_s)
        now = psutil.cpu_times()
        before, self._before, self._read_s = self._before, now, time.monotonic()
        return Reading(busy_percent(before, now), _battery(), _network())


def busy_percent(before, now) -> float:
    """Share of the time between two psutil.cpu_times that was neither idle nor spent on what runs at low priority.

    Waiting for disks counts as busy: a backup would make it worse. `guest` is in `user` already.
    """
    counted = [name for name in now._fields if name not in ("guest", "guest_nice")]
    spent = {name: max(0.0, getattr(now, name) - getattr(before, name)) for name in counted}
    total = sum(spent.values())
    free = spent.get("idle", 0.0) + spent.get("nice", 0.0)
    return 100 * (total - free) / total if total else 0.0


def _battery() -> float | None:
    """Percent left, None on mains."""
    try:
        found = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    except (OSError, ValueError, RuntimeError):
        return None
    return None if found is None or found.power_plugged is not False else found.percent


def _network() -> frozenset:
    """Changes when the PC comes into another network."""
    try:
        return frozenset(row.address for rows in psutil.net_if_addrs().values() for row in rows)
    except OSError:
        return frozenset()
