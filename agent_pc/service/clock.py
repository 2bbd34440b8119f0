"""The clock that scheduling goes by, and how old a backup is after a restart. Used by runner.py; tests have their own."""

import time

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Clock:
    """Seconds that count sleep and never jump. The wall clock only helps over a restart of the PC."""

    def __init__(self):
        self._kind = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        try:
            with open(_BOOT_ID) as file:
                self.boot = file.read().strip()
        except OSError:
            self.boot = ""

    def now_s(self) -> float:
        return time.clock_gettime(self._kind)

    def wall_s(self) -> float:
        return time.time()

    def stamp(self) -> dict:
        """This moment, for `age_s` later on, in this life of the PC or another."""
        return {"boot": self.boot, "clock_s": self.now_s(), "wall_s": self.wall_s()}

    def age_s(self, stamp) -> float | None:
        """Seconds since `stamp`; None if that cannot be said, as after the wall clock was set back over a restart."""
        try:
            boot, clock_s, wall_s = stamp["boot"], float(stamp["clock_s"]), float(stamp["wall_s"])
        except (KeyError, TypeError, ValueError):
            return None
        age_s = self.now_s() - clock_s if boot and boot == self.boot else self.wall_s() - wall_s
        return age_s if age_s >= 0 else None
