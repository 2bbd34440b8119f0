"""Writes one segment from front to end through two buffers, so that filling and writing overlap. Used by log.py."""

import asyncio

from firmware.formats import disk as layout
from hal.native import aligned

_BUFFER_BYTES = 1 << 19
_ZEROS = bytes(layout.BLOCK)


class SegmentWriter:
    """`tail` counts the bytes accepted, buffered ones included. `base` is the segment's address on the disk."""

    def __init__(self, disk, buffers, base: int, tail: int):
        self._disk = disk
        self._buffers = buffers
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
        self.tail += length
        while at < length:
            room = min(length - at, _BUFFER_BYTES - self._fill)
            self._buffers[self._current][self._fill : self._fill + room] = data[at : at + room]
            self._fill += room
            at += room
            if self._fill == _BUFFER_BYTES:
                await self._turn(_BUFFER_BYTES)

    async def _turn(self, length: int) -> None:
        """Start writing the current buffer, go on with the other when its write is done."""
        write = self._disk.write(self._base + self._written, self._buffers[self._current][:length])
        self._writes[self._current] = asyncio.create_task(write)
        self._written += length
        self._current ^= 1
        self._fill = 0
        await self._wait(self._current)

    async def _wait(self, index: int) -> None:
        task, self._writes[index] = self._writes[index], None
        if task is not None:
            await task

    async def drain(self) -> None:
        """Pad to a block and wait until the disk has taken everything; not yet durable."""
        padding = -self._fill % layout.BLOCK
        if padding:
            await self.put(_ZEROS[:padding])
        if self._fill:
            await self._turn(self._fill)
        for index in range(len(self._writes)):
            await self._wait(index)
