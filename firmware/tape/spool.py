"""A ring of block buffers and the task that writes them to the drive in order. Used by the coded writer.

Reading the disk, encoding and the drive's transfer overlap; memory is bounded by the ring.
"""

import asyncio

from hal.native import Mapping


class Spool:
    """`blocks` counts what the drive has accepted, `early` is set once it gave early warning. Close it in `finally`."""

    def __init__(self, tape, block_bytes: int, ring: int = 6):
        self.blocks = 0
        self.early = False
        self._tape = tape
        self._memory = Mapping(ring * block_bytes)
        self._free = self._memory.blocks(block_bytes)
        self._queue = []  # (buffer, goes back to the ring)
        self._changed = asyncio.Event()  # towards the writing task
        self._written = asyncio.Event()  # from it
        self._failure = None
        self._closing = False
        self._task = asyncio.create_task(self._run())

    async def buffer(self):
        """A block buffer to fill; hand it back with `put`. Raises what the drive refused."""
        while not self._free:
            await self._wait()
        self._check()
        return self._free.pop()

    def put(self, buffer) -> None:
        """Write a buffer that came from `buffer`."""
        self._enqueue(buffer, True)

    def lend(self, buffer) -> None:
        """Write a buffer that stays the caller's; not to be touched before `drain`."""
        self._enqueue(buffer, False)

    async def drain(self) -> None:
        """Until the drive has accepted everything. Raises what it refused."""
        while self._queue:
            await self._wait()
        self._check()

    async def close(self) -> None:
        """Stop the task, after the block that is being written, and free the ring."""
        self._closing = True
        self._changed.set()
        await self._task
        self._memory.close()

    def _enqueue(self, buffer, recycle: bool) -> None:
        self._queue.append((buffer, recycle))
        self._changed.set()

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    async def _wait(self) -> None:
        self._check()
        self._written.clear()
        await self._written.wait()

    async def _run(self) -> None:
        try:
            while not self._closing:
                if self._queue:
                    await self._write_one()
                else:
                    self._changed.clear()
                    await self._changed.wait()
        except Exception as error:
            self._failure = error
            self._written.set()

    async def _write_one(self) -> None:
        buffer, recycle = self._queue[0]
        self.early = await self._tape.write(buffer) or self.early
        self._queue.pop(0)
        self.blocks += 1
        if recycle:
            self._free.append(buffer)
        self._written.set()
