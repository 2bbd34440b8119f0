"""A hardware watchdog behind /dev/watchdog (Linux watchdog-api). Built by the boards."""

import struct

from hal.linux.libc import O_WRONLY, check, libc, open_file
from hal.watchdog import Watchdog

_SETTIMEOUT = 0xC0045706  # linux/watchdog.h
_GETTIMEOUT = 0x80045707
_MAGIC_CLOSE = b"V"
_FEED = b"\0"


class LinuxWatchdog(Watchdog):
    """Raises NotReady (no such device, or somebody else has it), Unsupported (a timeout the hardware does not have)."""

    def __init__(self, path: str = "/dev/watchdog"):
        self.name = path
        self._fd = -1  # opening the device arms it

    def start(self, timeout_s: int) -> int:
        if self._fd < 0:
            self._fd = open_file(self.name, O_WRONLY)
        value = bytearray(struct.pack("<i", timeout_s))
        check(libc.ioctl(self._fd, _SETTIMEOUT, value), "%s: timeout of %d s" % (self.name, timeout_s))
        if libc.ioctl(self._fd, _GETTIMEOUT, value) < 0:
            return timeout_s
        return struct.unpack("<i", value)[0]

    def feed(self) -> None:
        if self._fd >= 0:
            check(libc.write(self._fd, _FEED, 1), "feed " + self.name)

    def stop(self) -> None:
        if self._fd >= 0:
            libc.write(self._fd, _MAGIC_CLOSE, 1)
            libc.close(self._fd)
            self._fd = -1
