"""The system clock and the battery-backed one, both in UTC. Built by the boards."""

import struct
import time

from hal.clock import Clock
from hal.errors import Unsupported
from hal.linux.libc import O_RDONLY, check, libc, open_file

_CLOCK_REALTIME = 0
_RTC_SET_TIME = 0x4024700A  # linux/rtc.h
_SECOND_NS = 1000000000


def rtc_time(when_s: int) -> bytes:
    """struct rtc_time of linux/rtc.h."""
    year, month, day, hour, minute, second = time.gmtime(when_s)[:6]
    return struct.pack("<9i", second, minute, hour, day, month - 1, year - 1900, 0, 0, 0)


class SystemClock(Clock):
    """`rtc` is the battery-backed clock's device. Without `may_set` the clock belongs to somebody else (host board)."""

    def __init__(self, may_set: bool = False, rtc: str = "/dev/rtc0"):
        self._may_set = may_set
        self._rtc = rtc

    def now_ns(self) -> int:
        return time.time_ns()

    def set_ns(self, when_ns: int) -> None:
        if not self._may_set:
            raise Unsupported("clock: it belongs to the host; set it there")
        seconds, rest_ns = divmod(when_ns, _SECOND_NS)
        check(libc.clock_settime(_CLOCK_REALTIME, struct.pack("<qq", seconds, rest_ns)), "set the clock")
        fd = open_file(self._rtc, O_RDONLY)
        result = libc.ioctl(fd, _RTC_SET_TIME, rtc_time(seconds))
        libc.close(fd)
        check(result, "set " + self._rtc)
