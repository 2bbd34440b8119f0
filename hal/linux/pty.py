"""A console on a pseudo terminal: the host board's serial line, which pyserial and terminal programs open like any port."""

from hal.errors import BusError, Timeout
from hal.linux.libc import EAGAIN, O_NOCTTY, O_NONBLOCK, O_RDWR, check, libc, open_file
from hal.loop import readable, writable
from hal.native import Library, errno
from hal.serial import Serial

_pty = Library(
    ("libc.so.6",),
    {"grantpt": ("i", "i"), "unlockpt": ("i", "i"), "ptsname_r": ("i", "ipL")},
)
_TERMIOS_BYTES = 64  # sizeof struct termios is 60 (glibc, x86-64)
_DROP_AFTER_MS = 500  # nobody reads: a serial line would not wait either


class PtySerial(Serial):
    """Makes the pseudo terminal and `link`, a symbolic link to it. Raises BusError."""

    def __init__(self, link: str):
        self.name = link
        self._master = open_file("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)
        check(_pty.grantpt(self._master), "grant pty")
        check(_pty.unlockpt(self._master), "unlock pty")
        name = bytearray(64)
        check(-_pty.ptsname_r(self._master, name, len(name)), "name of pty")
        path = bytes(name[: name.index(b"\0")]).decode()
        # Kept open: reading the master fails while no process has the other side open.
        self._slave = open_file(path, O_RDWR | O_NOCTTY)
        self._set_raw()
        libc.unlink(link)
        check(libc.symlink(path, link), "link %s to the console" % link)

    def _set_raw(self) -> None:
        state = bytearray(_TERMIOS_BYTES)
        check(libc.tcgetattr(self._slave, state), "pty")
        libc.cfmakeraw(state)
        check(libc.tcsetattr(self._slave, 0, state), "pty")

    async def read(self, limit: int) -> bytes:
        buffer = bytearray(limit)
        while True:
            await readable(self._master)
            count = libc.read(self._master, buffer, limit)
            if count >= 0:
                return bytes(buffer[:count])
            if errno() != EAGAIN:
                check(count, "read " + self.name)

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while len(rest):
            count = libc.write(self._master, rest, len(rest))
            if count > 0:
                rest = rest[count:]
                continue
            if count < 0 and errno() != EAGAIN:
                raise BusError("write %s: errno %d" % (self.name, errno()))
            try:
                await writable(self._master, _DROP_AFTER_MS)
            except Timeout:
                libc.tcflush(self._slave, 0)  # TCIFLUSH: what is stale goes, the newest text stays
                return

    async def close(self) -> None:
        libc.close(self._slave)
        libc.close(self._master)
        libc.unlink(self.name)
