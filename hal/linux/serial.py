"""A serial line, pseudo terminal or standard input and output as hal.serial.Serial. Built by the boards."""

import struct

from hal.errors import BusError, Timeout
from hal.linux.libc import EAGAIN, EIO, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, check, libc, open_file
from hal.loop import readable, writable
from hal.native import errno
from hal.serial import Serial

_TERMIOS_BYTES = 64  # sizeof(struct termios) is 60 (glibc, x86-64)
_CFLAG = 8  # offset of c_cflag
_CREAD_CLOCAL = 0o4200
_CRTSCTS = 0o20000000000
_TCSANOW = 0
_STUCK_MS = 5000  # 115200 baud empties the kernel's buffer in less than one second


class TtySerial(Serial):
    """`path` in raw mode, without flow control; `output` is another path to write to (/dev/stdin and /dev/stdout).

    The line gets its old settings back at close. Raises NotReady, BusError.
    """

    def __init__(self, path: str, baud: int = 115200, output: str = ""):
        self.name = path
        # Opened anew, so that O_NONBLOCK stays ours even where a shell shares the terminal.
        self._in = open_file(path, (O_RDONLY if output else O_RDWR) | O_NOCTTY | O_NONBLOCK)
        self._out = open_file(output, O_WRONLY | O_NOCTTY | O_NONBLOCK) if output else self._in
        self._before = self._set_raw(baud) if libc.isatty(self._in) == 1 else None

    def _set_raw(self, baud: int) -> bytearray:
        before = bytearray(_TERMIOS_BYTES)
        check(libc.tcgetattr(self._in, before), "settings of " + self.name)
        raw = bytearray(before)
        libc.cfmakeraw(raw)
        check(libc.cfsetspeed(raw, baud), "%s: %d baud" % (self.name, baud))
        flags = struct.unpack_from("<I", raw, _CFLAG)[0]
        struct.pack_into("<I", raw, _CFLAG, (flags | _CREAD_CLOCAL) & ~_CRTSCTS)
        check(libc.tcsetattr(self._in, _TCSANOW, raw), "settings of " + self.name)
        return before

    async def read(self, limit: int) -> bytes:
        buffer = bytearray(limit)
        while True:
            count = libc.read(self._in, buffer, limit)
            if count >= 0:
                return bytes(buffer[:count])
            if errno() == EIO:  # the other side of a pseudo terminal is gone
                return b""
            if errno() != EAGAIN:
                raise BusError("read %s: errno %d" % (self.name, errno()))
            await readable(self._in)

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while len(rest):
            count = libc.write(self._out, rest, len(rest))
            if count >= 0:
                rest = rest[count:]
                continue
            if errno() != EAGAIN:
                raise BusError("write %s: errno %d" % (self.name, errno()))
            try:
                await writable(self._out, _STUCK_MS)
            except Timeout:
                raise BusError("%s: nothing was taken for %d ms" % (self.name, _STUCK_MS))

    async def close(self) -> None:
        if self._before:
            libc.tcsetattr(self._in, _TCSANOW, self._before)
        libc.close(self._in)
        if self._out != self._in:
            libc.close(self._out)
