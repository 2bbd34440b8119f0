"""Appends records to the open segment of an area; seals full ones. The only writer of segments. Used by store.py and its parts."""

import asyncio

from firmware.formats import catalog as tables
from firmware.formats import disk as layout
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import superblock as super_
from firmware.store.segment_writer import SegmentWriter
from hal.errors import HalError, NoSpace
from hal.native import aligned

_NO_PACK = (0, 0, 0, 0)


def record_bytes(length: int) -> int:
    """Bytes that a record with a body of `length` takes in a segment."""
    return (layout.RECORD.size + length + layout.ALIGN - 1) // layout.ALIGN * layout.ALIGN


class _Head:
    def __init__(self, segment: int, writer, rows: list):
        self.segment = segment
        self.writer = writer
        self.rows = rows
        self.newest = max([row[5] for row in rows]) if rows else 0  # BDF id

    def room_for(self, length: int, segment_bytes: int) -> bool:
        """Whether the record fits with a footer of one more row behind it."""
        footer = record_bytes(4 + (len(self.rows) + 1) * layout.FOOTER_ROW.size)
        fits = self.writer.tail + record_bytes(length) + footer <= segment_bytes - layout.BLOCK
        return fits and len(self.rows) < layout.FOOTER_ROWS - 1


class Log:
    """One head (open segment) per area. `reserve` segments are left for commits and merges."""

    def __init__(self, disk, superblock, processor, segments, sequence: int):
        self._disk = disk
        self._superblock = superblock
        self._processor = processor
        self._segments = segments
        self._sequence = sequence
        self._heads = {}
        self._broken = []  # (head, area, bytes of whole records): somebody was cancelled while he wrote a record
        self._buffers = []  # pairs that are not in use
        self._lock = asyncio.Lock()
        self.reserve = 0
        self.failure = None

    def resume(self, segment: int, area: int, tail: int, rows: list) -> None:
        """Go on in a segment that was open at the last commit; what lies behind `tail` is overwritten."""
        self._heads[area] = _Head(segment, self._writer(segment, tail), rows)

    def _writer(self, segment: int, tail: int):
        buffers = self._buffers.pop() if self._buffers else SegmentWriter.make_buffers()
        return SegmentWriter(self._disk, buffers, super_.address(self._superblock, segment, 0), tail)

    async def append(self, area: int, kind: int, body, pack=_NO_PACK, reserve: int = -1):
        """(segment, offset, bytes taken) of a record with this body; durable after `drain` and a flush.

        `pack` is (kind, count, group, first) for the footer. Raises NoSpace, and what the disk raises: then the store is closed
        to writing, since nobody knows what the disk holds.
        """
        async with self._lock:
            self._check()
            try:
                return await self._append(area, kind, body, pack, self.reserve if reserve < 0 else reserve)
            except HalError as error:
                self._failed(error)
                raise

    def _failed(self, error) -> None:
        if not isinstance(error, NoSpace):
            self.failure = error

    def _check(self) -> None:
        if self.failure is not None:
            raise Refusal("INTERNAL", "the disk failed while writing (%s): restart the appliance" % self.failure)

    async def _append(self, area: int, kind: int, body, pack, reserve: int):
        size = self._superblock.segment_bytes
        if record_bytes(len(body)) > size // 2:
            raise Refusal("LIMIT", "a record of %d bytes does not fit a segment of %d" % (len(body), size))
        head = self._heads.get(area)
        if head is None or not head.room_for(len(body), size):
            if head is not None:
                await self._seal(area)
            segment = self._segments.allocate(reserve)
            head = self._heads[area] = _Head(segment, self._writer(segment, 0), [])
        offset = head.writer.tail
        try:
            if offset == 0:
                offset = await self._open(area, head)
            await self._put(head, kind, body, pack)
        except BaseException:
            self._break(area, head, offset)
            raise
        self._segments.appended(head.segment)
        return head.segment, offset, record_bytes(len(body))

    async def _open(self, area: int, head) -> int:
        """Append a MAP; gives the offset after it."""
        await self._put(head, layout.MAP, layout.MAP_BODY.pack(area, self._segments.used()), _NO_PACK)
        return head.writer.tail

    async def mark(self) -> None:
        """Say in each resumed segment what is in use: what a power cut left elsewhere is void from here on."""
        length = layout.MAP_BODY.size + 4 + len(self._segments.used())
        async with self._lock:
            for area, head in self._heads.items():
                await self._write_last(head.segment, b"")  # it may have been sealed, and nobody heard of it
                if head.room_for(length, self._superblock.segment_bytes):
                    await self._open(area, head)
            await self._drain()

    def _break(self, area: int, head, whole: int) -> None:
        """A record was written by halves: nothing more goes into this segment. What came before is safe."""
        self._heads.pop(area, None)
        self._broken.append((head, area, whole))

    async def _put(self, head, kind: int, body, pack) -> None:
        offset = head.writer.tail
        self._sequence += 1
        record = self._record(kind, head.segment, body)
        items, count, group, first = pack
        head.newest = max(head.newest, group)
        head.rows.append((kind, items, count, offset, len(body), group, first, int.from_bytes(record[-4:], "little")))
        await head.writer.put(record)
        await head.writer.put(body)
        padding = record_bytes(len(body)) - layout.RECORD.size - len(body)
        if padding:
            await head.writer.put(bytes(padding))

    async def _seal(self, area: int) -> None:
        head = self._heads[area]
        whole = head.writer.tail
        try:
            await self._put(head, layout.FOOTER, layout.FOOTER_BODY.pack(head.rows), _NO_PACK)
            await head.writer.drain()
            await self._trail(head.segment, whole)
        except BaseException:
            self._break(area, head, whole)
            raise
        del self._heads[area]
        self._retire(head, area, head.writer.tail)

    async def _trail(self, segment: int, footer: int) -> None:
        """A reader without a catalog finds the footer from the segment's end."""
        body = layout.TRAILER_BODY.pack(footer)
        await self._write_last(segment, self._record(layout.TRAILER, segment, body) + body)

    async def _write_last(self, segment: int, data: bytes) -> None:
        block = aligned(layout.BLOCK)
        block[: len(data)] = data
        end = self._superblock.segment_bytes - layout.BLOCK
        await self._disk.write(super_.address(self._superblock, segment, end), block)

    def _record(self, kind: int, segment: int, body) -> bytes:
        """RECORD with the present sequence number, that goes before `body`."""
        start = layout.RECORD.pack(layout.RECORD_MAGIC, kind, self._sequence, segment, len(body), 0)[:-4]
        return start + self._processor.crc32c(body, self._processor.crc32c(start)).to_bytes(4, "little")

    def _retire(self, head, area: int, tail: int) -> None:
        self._segments.note(head.segment, tables.SEALED, area, tail, head.newest)
        self._buffers.append(head.writer.buffers)

    async def _drain(self) -> None:
        """The disk has taken everything appended; broken segments are sealed as they are."""
        while self._broken:
            head, area, whole = self._broken[0]
            await head.writer.drain()
            self._broken.pop(0)
            self._retire(head, area, whole)
        for head in self._heads.values():
            await head.writer.drain()

    async def written(self) -> None:
        """Everything appended can be read back from the disk; not yet durable."""
        async with self._lock:
            try:
                await self._drain()
            except HalError as error:
                self._failed(error)
                raise

    async def flush(self) -> None:
        """Everything appended before the call is durable on return, and noted for the next transaction."""
        async with self._lock:
            self._check()
            try:
                await self._drain()
                for area, head in self._heads.items():
                    self._segments.note(head.segment, tables.OPEN, area, head.writer.tail, head.newest)
                await self._disk.flush()
            except HalError as error:
                self._failed(error)
                raise


async def scan(disk, superblock, processor, segment: int, limit: int, buffer) -> list:
    """Footer rows of the valid records in the first `limit` bytes of a segment, in order. Stops at the first that is not valid.

    Bodies are not read; `buffer` is an aligned memoryview of two blocks. Used when an open segment is continued.
    """
    rows = []
    offset = 0
    last = 0
    while offset + layout.RECORD.size <= limit:
        block = offset // layout.BLOCK * layout.BLOCK
        await disk.read(
            super_.address(superblock, segment, block), buffer[: min(len(buffer), superblock.segment_bytes - block)]
        )
        record = layout.RECORD.unpack_from(buffer, offset - block)[0]
        if record.magic != layout.RECORD_MAGIC:
            if offset == block:
                break
            offset = block + layout.BLOCK  # a flush ended the block before
            continue
        if record.segment != segment or record.sequence <= last or offset + record.length > limit:
            break
        last = record.sequence
        pack = _NO_PACK
        if record.kind == layout.PACK:
            header = packs.HEADER.unpack_from(buffer, offset - block + layout.RECORD.size)[0]
            pack = (header.kind, header.count, header.group, header.first)
        rows.append((record.kind, pack[0], pack[1], offset, record.length, pack[2], pack[3], record.crc))
        offset += record_bytes(record.length)
    return rows
