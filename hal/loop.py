"""The event loop as both interpreters have it: `asyncio` plus what MicroPython's lacks or names differently.

Everything that waits in hal/ and firmware/ waits through here, so every wait can be bounded.
"""

import asyncio
import sys
import time

from hal.errors import Timeout

MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    _last = [time.ticks_ms(), 0]

    def now_ms() -> int:
        """Monotonic milliseconds since an arbitrary start; does not wrap as ticks_ms does."""
        ticks = time.ticks_ms()
        _last[1] += time.ticks_diff(ticks, _last[0])
        _last[0] = ticks
        return _last[1]

    sleep_ms = asyncio.sleep_ms

    def _ready_to_read(fd):
        yield asyncio.core._io_queue.queue_read(fd)

    def _ready_to_write(fd):
        yield asyncio.core._io_queue.queue_write(fd)

    async def _bounded(awaitable, timeout_ms: int):
        return await asyncio.wait_for_ms(awaitable, timeout_ms)

    _expired = asyncio.TimeoutError

else:

    def now_ms() -> int:
        """Monotonic milliseconds since an arbitrary start."""
        return time.monotonic_ns() // 1000000

    async def sleep_ms(ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    async def _ready(fd: int, add, remove) -> None:
        future = asyncio.get_running_loop().create_future()
        add(fd, lambda: None if future.done() else future.set_result(None))
        try:
            await future
        finally:
            remove(fd)

    async def _ready_to_read(fd: int) -> None:
        loop = asyncio.get_running_loop()
        await _ready(fd, loop.add_reader, loop.remove_reader)

    async def _ready_to_write(fd: int) -> None:
        loop = asyncio.get_running_loop()
        await _ready(fd, loop.add_writer, loop.remove_writer)

    async def _bounded(awaitable, timeout_ms: int):
        return await asyncio.wait_for(awaitable, timeout_ms / 1000)

    _expired = asyncio.TimeoutError


async def wait_ms(awaitable, timeout_ms: int):
    """The awaitable's result. Raises Timeout after `timeout_ms` (0: no bound); what was awaited is then cancelled."""
    if timeout_ms == 0:
        return await awaitable
    try:
        return await _bounded(awaitable, timeout_ms)
    except _expired:
        raise Timeout("no answer within %d ms" % timeout_ms)


async def readable(fd: int, timeout_ms: int = 0) -> None:
    """Until file descriptor `fd` can be read or has failed. One waiter per descriptor and direction. Raises Timeout."""
    await wait_ms(_ready_to_read(fd), timeout_ms)


async def writable(fd: int, timeout_ms: int = 0) -> None:
    """Until file descriptor `fd` can be written or has failed. Raises Timeout."""
    await wait_ms(_ready_to_write(fd), timeout_ms)
