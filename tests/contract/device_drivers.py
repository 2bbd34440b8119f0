"""Serial lines, SMBus, watchdogs and clocks for the contract suites.

Serial lines are real (pseudo terminals, pipes). The bus, the watchdog and setting the clock would need hardware that must
not be touched, so there libc's ioctl and clock_settime are replaced by what the kernel's headers say.
"""

import os
import struct

from hal import native
from hal.linux.clock import SystemClock
from hal.linux.i2c import LinuxSMBus
from hal.linux.libc import O_CLOEXEC, check, libc
from hal.linux.pty import PtySerial
from hal.linux.serial import TtySerial
from hal.linux.watchdog import LinuxWatchdog
from hal.sim.i2c import SimSMBus
from hal.sim.watchdog import SimWatchdog


class _Far:
    """The other end, itself a Serial."""

    def __init__(self, line):
        self._line = line
        self._is_open = True

    async def send(self, data: bytes) -> None:
        await self._line.write(data)

    async def receive(self, count: int) -> bytes:
        pieces = []
        while count:
            pieces.append(await self._line.read(count))
            assert pieces[-1], "the line hung up"
            count -= len(pieces[-1])
        return b"".join(pieces)

    async def hang_up(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._line.close()


def _scratch() -> str:
    return "/tmp/bobbin-contract-%s" % "".join(["%02x" % byte for byte in os.urandom(8)])


async def tty(case) -> None:
    link = _scratch()
    far = _Far(PtySerial(link))
    line = TtySerial(link)
    await case(line, far)
    await line.close()
    await far.hang_up()


async def pty(case) -> None:
    line = PtySerial(_scratch())
    far = _Far(TtySerial(line.name))
    await case(line, far)
    await far.hang_up()
    await line.close()


def _pipe() -> tuple:
    """Paths and descriptors of a pipe: ((read path, write path), (read, write))."""
    ends = bytearray(8)
    check(libc.pipe2(ends, O_CLOEXEC), "pipe")
    ends = struct.unpack("<ii", ends)
    return ["/proc/self/fd/%d" % end for end in ends], ends


async def standard_streams(case) -> None:
    """Two pipes in place of standard input and output."""
    into, into_ends = _pipe()
    out, out_ends = _pipe()
    line = TtySerial(into[0], output=out[1])
    far = _Far(TtySerial(out[0], output=into[1]))
    for end in into_ends + out_ends:
        libc.close(end)
    await case(line, far)
    await far.hang_up()
    await line.close()


class _Replaced:
    """libc functions replaced while a case runs."""

    def __init__(self, **functions):
        self._functions = functions

    def __enter__(self):
        self._before = {name: getattr(libc, name) for name in self._functions}
        for name, function in self._functions.items():
            setattr(libc, name, function)

    def __exit__(self, *error):
        for name, function in self._before.items():
            setattr(libc, name, function)


class _BusKernel:
    """I2C_SLAVE and I2C_SMBUS of linux/i2c-dev.h over one chip at 0x50."""

    def __init__(self):
        self._registers = bytearray(256)
        self._address = 0

    def ioctl(self, fd: int, command: int, argument) -> int:
        if command == 0x0703:
            self._address = argument
            return 0
        is_read, register, size, pointer = struct.unpack("<BB2xIQ", argument)
        if command != 0x0720 or self._address != 0x50:
            return -1
        data = native.at(pointer, 34)
        start, count = {2: (0, 1), 3: (0, 2), 8: (1, data[0])}[size]
        for at in range(count):
            if is_read:
                data[start + at] = self._registers[register + at & 255]
            else:
                self._registers[register + at & 255] = data[start + at]
        return 0


async def linux_bus(case) -> None:
    with _Replaced(ioctl=_BusKernel().ioctl):
        bus = LinuxSMBus("/dev/null")
        await case(bus)
        bus.close()


async def sim_bus(case) -> None:
    await case(SimSMBus({0x50: bytearray(256)}))


class _WatchdogKernel:
    """Counts what is written to a file in place of the device; ioctls of linux/watchdog.h, at most 60 s."""

    def __init__(self, path: str):
        self._path = path
        self._timeout_s = 0
        with open(path, "wb"):
            pass

    def ioctl(self, fd: int, command: int, argument) -> int:
        if command == 0xC0045706:
            self._timeout_s = min(60, struct.unpack("<i", argument)[0])
            struct.pack_into("<i", argument, 0, self._timeout_s)
        elif command == 0x80045707:
            struct.pack_into("<i", argument, 0, self._timeout_s)
        else:
            return -1
        return 0

    def state(self) -> tuple:
        with open(self._path, "rb") as file:
            written = file.read()
        return (0 if written.endswith(b"V") else self._timeout_s), written.count(b"\0")


async def linux_watchdog(case) -> None:
    path = _scratch()
    kernel = _WatchdogKernel(path)
    try:
        with _Replaced(ioctl=kernel.ioctl):
            watchdog = LinuxWatchdog(path)
            await case(watchdog, kernel.state)
            watchdog.stop()
    finally:
        os.unlink(path)


async def sim_watchdog(case) -> None:
    watchdog = SimWatchdog(60)
    await case(watchdog, lambda: (watchdog.timeout_s, watchdog.feeds))


async def host_clock(case) -> None:
    await case(SystemClock(), False)


async def own_clock(case) -> None:
    """The clock of this machine stays: what would set it is recorded."""
    calls = []
    with _Replaced(
        clock_settime=lambda which, value: calls.append((which,) + struct.unpack("<qq", value)) or 0,
        ioctl=lambda fd, command, value: calls.append((command,) + struct.unpack("<9i", value)) or 0,
    ):
        clock = SystemClock(may_set=True, rtc="/dev/null")
        clock.set_ns(1735689600123456789)  # 2025-01-01T00:00:00 UTC and a fraction
        assert calls == [(0, 1735689600, 123456789), (0x4024700A, 0, 0, 0, 1, 0, 125, 0, 0, 0)]
        await case(clock, True)
