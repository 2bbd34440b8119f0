"""Writes one segment from front to end through two buffers, so that filling and writing overlap. Used by log.py.

Whoever puts or drains may be cancelled at any await: a write that was started goes on, and its buffer is not touched before it
is done. What was put by halves is log.py's business.
"""

import asyncio

from firmware.formats import disk as layout
from hal.native import aligned

_BUFFER_BYTES = 1 << 19
_ZEROS = bytes(layout.BLOCK)


class _Write:
    """A write on its way; a task of its own, so that nobody who waits for it can take it down with him."""

    def __init__(self, disk, address: int, data):
        self._done = asyncio.Event()
        self._error = None
        self._task = asyncio.create_task(self._run(disk, address, data))

    async def _run(self, disk, address: int, data) -> None:
        try:
            await disk.write(address, data)
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    async def wait(self) -> None:
        """Raises what the disk raised."""
        await self._done.wait()
        if self._error is not None:
            raise self._error


class SegmentWriter:
    """`tail` counts the bytes accepted, buffered ones included. `base` is the segment's address on the disk."""

    def __init__(self, disk, buffers, base: int, tail: int):
        self._disk = disk
        self.buffers = buffers
        self._writes = [None] * len(buffers)
        self._current = 0
        self._fill = 0
        self._base = base
        self.tail = tail
        self._written = tail  # where the current buffer's first byte goes

    @staticmethod
    def make_buffers() -> list:
        return [aligned(_BUFFER_BYTES), aligned(_BUFFER_BYTES)]

    async def put(self, data) -> None:
        """Take a copy of `data`. Raises what the disk raised for an earlier write."""
        at = 0
        length = len(data)
        while at < length:
            await self._wait(self._current)
            room = min(length - at, _BUFFER_BYTES - self._fill)
            self.buffers[self._current][self._fill : self._fill + room] = data[at : at + room]
            self._fill += room
            self.tail += room
            at += room
            if self._fill == _BUFFER_BYTES:
                self._turn()

    def _turn(self) -> None:
        """Start writing the current buffer, go on with the other."""
        data = self.buffers[self._current][: self._fill]
        self._writes[self._current] = _Write(self._disk, self._base + self._written, data)
        self._written += self._fill
        self._current ^= 1
        self._fill = 0

    async def _wait(self, index: int) -> None:
        """Until this buffer is free."""
        if self._writes[index] is not None:
            await self._writes[index].wait()
            self._writes[index] = None

    async def drain(self) -> None:
        """Pad to a block and wait until the disk has taken everything; not yet durable."""
        padding = -self._fill % layout.BLOCK
        if padding:
            await self.put(_ZEROS[:padding])
        if self._fill:
            self._turn()
        for index in range(len(self._writes)):
            await self._wait(index)
