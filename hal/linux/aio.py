"""Asynchronous file I/O through libaio, completions by eventfd. Used by `hal.linux.disk`.

libaio and not io_uring: containers and hardened kernels forbid io_uring, and O_DIRECT through libaio is as fast here.
"""

import asyncio
import struct

from hal.errors import BusError
from hal.linux.libc import EAGAIN, O_CLOEXEC, O_NONBLOCK, check, failure, libc
from hal.loop import readable, sleep_ms
from hal.native import Library, address

READ = 0  # IOCB_CMD_PREAD, linux/aio_abi.h
WRITE = 1  # IOCB_CMD_PWRITE
DATASYNC = 3  # IOCB_CMD_FDSYNC

_IOCB = "<QIIhhiQQqQII"
_IOCB_BYTES = 64
_EVENT = "<QQqq"
_EVENT_BYTES = 32
_FLAG_RESFD = 1
_SUBMIT_TRIES = 5000
_REFUSED = "asynchronous I/O: io_setup (is /proc/sys/fs/aio-max-nr used up?)"

# libaio gives -errno as its result and leaves errno alone.
_aio = Library(
    ("libaio.so.1t64", "libaio.so.1"),
    {
        "io_setup": ("i", "ip"),
        "io_destroy": ("i", "p"),
        "io_submit": ("i", "plp"),
        "io_getevents": ("i", "pllpp"),
    },
)


class _Slot:
    """One place in the queue; `operation` is held here as long as the kernel may touch its buffer."""

    def __init__(self, index: int, iocb, pointer):
        self.index = index
        self.iocb = iocb
        self.pointer = pointer
        self.operation = None


class _Operation:
    """What a caller waits for. Its own, not the slot's: the slot may be in use again before the caller is woken."""

    def __init__(self, buffer):
        self.buffer = buffer
        self.result = None
        self.done = asyncio.Event()

    async def wait(self) -> int:
        """The kernel's result. A cancelled caller is held until the buffer is its own again."""
        cancelled = None
        while self.result is None:
            try:
                await self.done.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled:
            raise cancelled
        return self.result


class AioQueue:
    """At most `depth` operations in flight; the next caller waits for room."""

    def __init__(self, depth: int = 32):
        context = bytearray(8)
        result = _aio.io_setup(depth, context)
        if result < 0:
            raise failure(_REFUSED, -result)
        self._context = struct.unpack("<Q", context)[0]
        self._eventfd = check(libc.eventfd(0, O_CLOEXEC | O_NONBLOCK), "eventfd")
        self._iocbs = memoryview(bytearray(_IOCB_BYTES * depth))
        self._events = bytearray(_EVENT_BYTES * depth)
        self._count = bytearray(8)
        self._slots = [self._slot(index) for index in range(depth)]
        self._free = list(self._slots)
        self._room = None
        self._reaper = None

    def _slot(self, index: int) -> _Slot:
        iocb = self._iocbs[index * _IOCB_BYTES : (index + 1) * _IOCB_BYTES]
        return _Slot(index, iocb, bytearray(struct.pack("<Q", address(iocb))))

    async def transfer(self, command: int, fd: int, buffer, offset: int) -> int:
        """Bytes transferred, maybe fewer than asked, or a negative errno. `buffer` is None for DATASYNC."""
        while not self._free:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()
        slot = self._free.pop()
        where, length = (address(buffer), len(buffer)) if buffer is not None else (0, 0)
        struct.pack_into(
            _IOCB, slot.iocb, 0, slot.index, 0, 0, command, 0, fd, where, length, offset, 0, _FLAG_RESFD, self._eventfd
        )
        slot.operation = operation = _Operation(buffer)
        try:
            await self._submit(slot)
        except BaseException:
            self._release(slot)
            raise
        return await operation.wait()

    async def _submit(self, slot: _Slot) -> None:
        for _ in range(_SUBMIT_TRIES):
            result = _aio.io_submit(self._context, 1, slot.pointer)
            if result == 1:
                if self._reaper is None:
                    self._reaper = asyncio.create_task(self._reap())
                return
            if result != -EAGAIN:
                raise failure("asynchronous I/O: io_submit", -result)
            await sleep_ms(1)
        raise BusError("asynchronous I/O: the kernel took no request in %d tries" % _SUBMIT_TRIES)

    def _release(self, slot: _Slot) -> None:
        slot.operation = None
        self._free.append(slot)
        if self._room is not None:
            self._room.set()
            self._room = None

    async def _reap(self) -> None:
        """Lives while something is in flight, so no task outlives the work."""
        try:
            while len(self._free) < len(self._slots):
                await readable(self._eventfd)
                self._drain()
        finally:
            self._reaper = None

    def _drain(self) -> None:
        libc.read(self._eventfd, self._count, 8)
        found = _aio.io_getevents(self._context, 0, len(self._slots), self._events, None)
        for at in range(0, found * _EVENT_BYTES, _EVENT_BYTES):
            index, _, result, _ = struct.unpack_from(_EVENT, self._events, at)
            slot = self._slots[index]
            slot.operation.result = result
            slot.operation.done.set()
            self._release(slot)

    async def close(self) -> None:
        """Await what is in flight, then release the queue."""
        while len(self._free) < len(self._slots):
            await sleep_ms(1)
        _aio.io_destroy(self._context)
        libc.close(self._eventfd)
