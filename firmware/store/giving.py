"""Gives what a reader was asked for in order: packs read ahead, neighbours joined, whole packs as they are stored.

Made by firmware/store/reader.py for each request.
"""

import asyncio

from firmware.formats import pack as packs
from hal.errors import HalError

_AHEAD = 6  # packs being read while one is sent
_PARTS = 64  # of one pack, joined


class Part:
    """Items start .. end-1 of the pack that begins with item `pack_first`; item `offset` of row `row` of the request is its first."""

    def __init__(self, group: int, pack_first: int, start: int, end: int, row: int, offset: int):
        self.key = (group, pack_first)
        self.start = start
        self.end = end
        self.rows = [(row, offset, end - start)]

    def follow(self, other) -> bool:
        """Append what lies directly behind; False if `other` does not."""
        if other.start != self.end:
            return False
        self.end = other.end
        self.rows += other.rows
        return True


class _Wanted:
    """Parts of one pack."""

    def __init__(self, part, pack_row):
        self.pack_row = pack_row
        self.parts = [part]

    def take(self, part) -> bool:
        """Add a part of the same pack."""
        if part.key != self.parts[0].key or len(self.parts) == _PARTS:
            return False
        if not self.parts[-1].follow(part):
            self.parts.append(part)
        return True

    def whole(self) -> bool:
        return len(self.parts) == 1 and self.parts[0].start == 0 and self.parts[0].end == self.pack_row.count


class Giving:
    """`lost` counts the items that could not be given. End it with `finish`, or `cancel`."""

    def __init__(self, kind: int, loader, buffers, processor, sink):
        self._kind = kind
        self._loader = loader
        self._buffers = buffers
        self._processor = processor
        self._sink = sink
        self._last = None
        self._waiting = []
        self.lost = 0

    async def want(self, part, pack_row) -> None:
        """Give `part` after everything wanted before."""
        if self._last is not None and self._last.take(part):
            return
        await self._shift()
        self._last = _Wanted(part, pack_row)

    async def lose(self, row: int, first: int, count: int, text: str) -> None:
        """Say in the right place that items are lost."""
        await self.finish()
        self.lost += count
        await self._sink.lost(row, first, count, text)

    async def _shift(self) -> None:
        """Start to read what was wanted last."""
        wanted, self._last = self._last, None
        if wanted is None:
            return
        whole = wanted.whole()
        self._waiting.append((wanted, whole, asyncio.create_task(self._load(wanted.pack_row, whole))))
        if len(self._waiting) > _AHEAD:
            await self._give()

    async def _load(self, pack_row, whole: bool):
        """The stored pack or the decoded one, or the error: a task that fails before it is awaited would be reported by MicroPython."""
        try:
            if whole:
                return await self._loader.stored(pack_row, self._buffers)
            return await self._loader.load(pack_row)
        except HalError as error:
            return error

    async def finish(self) -> None:
        """Everything wanted so far is given."""
        await self._shift()
        while self._waiting:
            await self._give()

    async def _give(self) -> None:
        wanted, whole, task = self._waiting.pop(0)
        found = await task
        if isinstance(found, HalError):
            for part in wanted.parts:
                await self._lose_part(part, str(found))
        elif whole:
            await self._sink.data(found)
        else:
            for part in wanted.parts:
                await self._sink.data(cut(found, part.start, part.end, self._processor))
        if whole:
            self._buffers.give_back()

    async def _lose_part(self, part, text: str) -> None:
        for row, offset, count in part.rows:
            self.lost += count
            await self._sink.lost(row, offset, count, text)

    def cancel(self) -> None:
        for _, _, task in self._waiting:
            task.cancel()


def cut(pack, start: int, end: int, processor):
    """A pack of items start .. end-1 of a decoded `Pack`, compressed if that makes it smaller."""
    raw = pack.raw[pack.offsets[start] : pack.offsets[end]]
    table = packs.part(pack.body, start, end)
    front = packs.HEADER.size + len(table)
    body = memoryview(bytearray(front + len(raw)))
    body[packs.HEADER.size : front] = table
    stored = processor.compress(raw, body[front:]) if len(raw) else 0
    codec = packs.ZSTD if stored else packs.RAW
    if not stored:
        body[front:] = raw
        stored = len(raw)
    header = pack.header
    packs.HEADER.pack_into(body, 0, header.kind, codec, end - start, header.group, header.first + start, len(raw), stored)
    return body[: front + stored]
