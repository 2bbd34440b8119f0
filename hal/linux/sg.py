"""SCSI through /dev/sg*: `hal.scsi.ScsiTransport` with the driver's asynchronous write, poll, read. Used by the boards.

Ref: include/scsi/sg.h (interface version 3), SCSI Generic HOWTO. The kernel queues up to 16 commands per open file.
"""

import asyncio
import struct

from hal import loop
from hal.errors import BusError, NotReady, Timeout
from hal.linux.libc import EAGAIN, EDOM, EINTR, ENODEV, ENXIO, O_NONBLOCK, O_RDWR, libc, open_file
from hal.native import address, errno
from hal.scsi import ScsiResult, ScsiTransport

# struct sg_io_hdr of a 64-bit kernel: interface, direction, cdb length, sense room, iovecs, data length, data, cdb, sense,
# timeout in ms, flags, pack id, user pointer | status, masked, message, sense length, host, driver, residual, duration, info
_HEADER = "<iiBBHIQQQIIi4xQBBBBHHiII4x"
_HEADER_BYTES = 88
_PACK_ID_AT = 48
_NONE, _TO_DEVICE, _FROM_DEVICE = -1, -2, -3
_SENSE_BYTES = 96

_BLKSECTGET = 0x1267  # on sg: bytes that one command may transfer
_SG_GET_VERSION_NUM = 0x2282
_MAX_TRANSFER = 1 << 20

_QUEUE = 16  # SG_MAX_QUEUE
_GRACE_MS = 60000  # the kernel aborts, resets and reports by itself; only then do we stop waiting

# host_status. Ref: include/scsi/scsi_status.h
_HOST = {1: NotReady, 3: Timeout}  # DID_NO_CONNECT, DID_TIME_OUT; all others leave the state unknown
_DRIVER_TIMEOUT = 0x06


class _Command:
    """One command under way. It keeps the buffers, which the kernel fills when its reply is read."""

    def __init__(self, cdb: bytes, data):
        self.cdb = bytearray(cdb)
        self.data = data
        self.sense = bytearray(_SENSE_BYTES)
        self.done = asyncio.Event()
        self.reply = None

    def header(self, pack_id: int, direction: int, timeout_ms: int) -> bytes:
        length = len(self.data) if self.data is not None else 0
        where = address(self.data) if length else 0
        return struct.pack(
            _HEADER, ord("S"), direction, len(self.cdb), _SENSE_BYTES, 0, length, where, address(self.cdb), address(self.sense),
            timeout_ms, 0, pack_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip


class SgTransport(ScsiTransport):
    """The unit behind `path` ("/dev/sg0"). Raises NotReady if there is none."""

    def __init__(self, path: str):
        self.name = path
        self._fd = open_file(path, O_RDWR | O_NONBLOCK)
        if libc.ioctl(self._fd, _SG_GET_VERSION_NUM, bytearray(4)) < 0:
            libc.close(self._fd)
            raise NotReady("%s: not a SCSI generic device" % path)
        self.max_transfer_bytes = self._limit()
        self._pending = {}
        self._next_id = 0
        self._reader = None
        self._room = asyncio.Event()

    def _limit(self) -> int:
        raw = bytearray(4)
        if libc.ioctl(self._fd, _BLKSECTGET, raw) < 0:
            return 1 << 16
        return min(struct.unpack("<i", raw)[0], _MAX_TRANSFER) or 1 << 16

    async def execute(self, cdb: bytes, data_out=None, data_in=None, timeout_ms: int = 30000) -> ScsiResult:
        if self._fd < 0:
            raise BusError("%s: closed" % self.name)
        direction = _TO_DEVICE if data_out is not None else _FROM_DEVICE if data_in is not None else _NONE
        command = _Command(cdb, data_out if data_out is not None else data_in)
        await self._send(command, direction, timeout_ms)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            await loop.wait_ms(command.done.wait(), timeout_ms + _GRACE_MS)
        except Timeout:
            raise Timeout("%s: no answer within %d ms, nor did the kernel abort the command" % (self.name, timeout_ms))
        return self._result(command, timeout_ms)

    async def _send(self, command, direction: int, timeout_ms: int) -> None:
        deadline_ms = loop.now_ms() + timeout_ms
        while loop.now_ms() <= deadline_ms:
            while len(self._pending) >= _QUEUE:
                self._room.clear()
                await self._room.wait()
            self._next_id = (self._next_id + 1) & 0x3FFFFFFF
            header = command.header(self._next_id, direction, timeout_ms)
            if libc.write(self._fd, header, _HEADER_BYTES) == _HEADER_BYTES:
                self._pending[self._next_id] = command
                return
            await self._refused(errno())
        raise Timeout("%s: the driver takes no command for %d ms" % (self.name, timeout_ms))

    async def _refused(self, code: int) -> None:
        """Wait where the command can be sent again later, else raise."""
        if code in (EAGAIN, EDOM, EINTR):
            return await loop.sleep_ms(1)
        if code in (ENODEV, ENXIO):
            raise NotReady("%s: the device is gone" % self.name)
        raise BusError("%s: the driver refused the command: errno %d" % (self.name, code))

    async def _read(self) -> None:
        try:
            while self._pending:
                await loop.readable(self._fd)
                self._take()
        finally:
            self._reader = None

    def _take(self) -> None:
        """One reply, of whichever command has ended."""
        raw = bytearray(_HEADER_BYTES)
        if libc.read(self._fd, raw, _HEADER_BYTES) < 0:
            if errno() not in (EAGAIN, EINTR):
                self._fail()
            return
        command = self._pending.pop(struct.unpack("<i", raw[_PACK_ID_AT : _PACK_ID_AT + 4])[0], None)
        self._room.set()
        if command:
            command.reply = raw
            command.done.set()

    def _fail(self) -> None:
        """The device is gone or the transport closed: nothing that is under way will come back."""
        pending, self._pending = self._pending, {}
        for command in pending.values():
            command.done.set()
        self._room.set()

    def _result(self, command, timeout_ms: int) -> ScsiResult:
        if command.reply is None:
            raise BusError("%s: the device went away with the command" % self.name)
        fields = struct.unpack(_HEADER, command.reply)
        status, sense_length, host, driver, residual = fields[13], fields[16], fields[17], fields[18], fields[19]
        if driver & 0x0F == _DRIVER_TIMEOUT:
            host = 3
        if host:
            kind = _HOST.get(host, BusError)
            raise kind("%s: host adapter status %d after %d ms (limit %d ms)" % (self.name, host, fields[20], timeout_ms))
        return ScsiResult(status, bytes(command.sense[:sense_length]), max(0, residual))

    async def close(self) -> None:
        if self._fd >= 0:
            if self._reader:
                self._reader.cancel()
            self._fail()
            libc.close(self._fd)
            self._fd = -1
