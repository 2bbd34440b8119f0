"""Finds the records of a segment without a catalog: by its footer if it is sealed, else from record to record. Used by rebuild.py.

A damaged record in an open segment is jumped over; nothing found here is trusted beyond its checksums.
"""

from firmware.formats import disk as layout
from firmware.formats import limits
from firmware.formats import pack as packs
from firmware.formats.record import FormatError
from firmware.store import superblock as super_
from firmware.store.log import record_bytes
from hal.errors import HalError, MediumError
from hal.loop import sleep_ms
from hal.native import aligned

_WINDOW = 1 << 18  # bytes searched in one go
_NO_PACK = (0, 0, 0, 0)
_YIELD = 64


class Found:
    """`rows` are disk.FOOTER_ROW tuples, `tail` the bytes up to the end of the last; `sequence` the highest that is known."""

    def __init__(self):
        self.rows = []
        self.tail = 0
        self.sequence = 0


class Segments:
    """Reads one segment at a time."""

    def __init__(self, disk, superblock, processor):
        self._disk = disk
        self._superblock = superblock
        self._processor = processor
        self._pair = aligned(2 * layout.BLOCK)
        self._limit = superblock.segment_bytes - layout.BLOCK  # the last block is the trailer's

    async def _read(self, segment: int, start: int, length: int):
        """View of bytes of a segment. Raises MediumError."""
        first = start // layout.BLOCK * layout.BLOCK
        end = (start + length + layout.BLOCK - 1) // layout.BLOCK * layout.BLOCK
        buffer = self._pair[: end - first] if end - first <= len(self._pair) else aligned(end - first)
        await self._disk.read(super_.address(self._superblock, segment, first), buffer)
        return buffer[start - first : start - first + length]

    async def head(self, segment: int, offset: int):
        """(RECORD tuple, first bytes of the body) at `offset`, None if there is none of this segment. Nothing else is checked."""
        length = min(layout.RECORD.size + packs.HEADER.size, self._superblock.segment_bytes - offset)
        try:
            data = await self._read(segment, offset, length)
            record = layout.RECORD.unpack_from(data)[0]
        except (HalError, FormatError):
            return None
        if record.magic != layout.RECORD_MAGIC or record.segment != segment:
            return None
        return (
            None
            if offset + record_bytes(record.length) > self._superblock.segment_bytes
            else (record, data[layout.RECORD.size :])
        )

    async def record(self, segment: int, offset: int):
        """(RECORD tuple, body) at `offset`, checked; None if it is damaged. The body is valid until the next call."""
        found = await self.head(segment, offset)
        if found is None:
            return None
        try:
            data = await self._read(segment, offset, layout.RECORD.size + found[0].length)
        except HalError:
            return None
        crc = self._processor.crc32c(data[layout.RECORD.size :], self._processor.crc32c(data[: layout.RECORD.size - 4]))
        return (found[0], data[layout.RECORD.size :]) if crc == found[0].crc else None

    async def find(self, segment: int) -> Found:
        """What the segment holds; no rows if it was never written."""
        first = await self.head(segment, 0)
        found = await self._by_footer(segment, first)
        if found is None:
            found = await self._by_chain(segment) if first is not None else Found()
        return found

    async def _by_footer(self, segment: int, first):
        """None unless the trailer, the footer and the first record (the last one, should the first be damaged) agree."""
        trailer = await self.record(segment, self._limit)
        if trailer is None or trailer[0].kind != layout.TRAILER:
            return None
        try:
            footer_at = layout.TRAILER_BODY.unpack(trailer[1]).footer
            footer = await self.record(segment, footer_at)
            if footer is None or footer[0].kind != layout.FOOTER or footer[0].sequence != trailer[0].sequence:
                return None
            rows = layout.FOOTER_BODY.unpack(footer[1]).rows
        except FormatError:
            return None
        found = Found()
        found.rows, found.sequence = rows, footer[0].sequence
        found.tail = footer_at + record_bytes(footer[0].length)
        witness = rows[0] if first is not None else rows[-1]
        record = first or await self.head(segment, witness[3])
        return found if record is not None and record[0].crc == witness[7] else None

    async def _by_chain(self, segment: int) -> Found:
        found = Found()
        offset = 0
        while offset + layout.RECORD.size <= self._limit:
            head = await self.head(segment, offset)
            if head is None or head[0].sequence <= found.sequence or offset + head[0].length > self._limit:
                offset = await self._next(segment, offset, found.sequence)
                if offset < 0:
                    break
                continue
            record, start = head
            pack = _NO_PACK
            if record.kind == layout.PACK:
                header = packs.HEADER.unpack_from(start)[0]
                pack = (header.kind, header.count, header.group, header.first)
            found.rows.append((record.kind, pack[0], pack[1], offset, record.length, pack[2], pack[3], record.crc))
            found.sequence = record.sequence
            offset += record_bytes(record.length)
            found.tail = offset
            if len(found.rows) % _YIELD == 0:
                await sleep_ms(0)
        return found

    async def _next(self, segment: int, offset: int, last: int) -> int:
        """Offset of the next good record above sequence number `last`, -1 if there is none. A flush may have ended a block early."""
        at = (offset + 1 + layout.ALIGN - 1) // layout.ALIGN * layout.ALIGN
        while at + layout.RECORD.size <= self._limit:
            length = min(_WINDOW, self._limit - at)
            for place in await self._magics(segment, at, length):
                record = await self.record(segment, place)
                if record is not None and record[0].sequence > last and record[0].length <= limits.FRAME_BYTES:
                    return place
            at += length - layout.RECORD.size if length == _WINDOW else length
            at = at // layout.ALIGN * layout.ALIGN if length == _WINDOW else at
            await sleep_ms(0)
        return -1

    async def _magics(self, segment: int, at: int, length: int) -> list:
        """Offsets where a record may begin."""
        try:
            data = bytes(await self._read(segment, at, length))
        except MediumError:
            data = await self._piecemeal(segment, at, length)
        places = []
        place = data.find(layout.RECORD_MAGIC)
        while place >= 0:
            if (at + place) % layout.ALIGN == 0:
                places.append(at + place)
            place = data.find(layout.RECORD_MAGIC, place + 1)
        return places

    async def _piecemeal(self, segment: int, at: int, length: int) -> bytes:
        """The same bytes block by block; zeros for those that cannot be read."""
        parts = []
        while length:
            step = min(length, layout.BLOCK - at % layout.BLOCK)
            try:
                parts.append(bytes(await self._read(segment, at, step)))
            except MediumError:
                parts.append(bytes(step))
            at += step
            length -= step
        return b"".join(parts)
