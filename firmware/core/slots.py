"""Keeps small blobs on the config area, two checksummed copies each. Used by config, identity and crash log."""

import asyncio
import binascii

from firmware.formats.config import CRC_FROM, CRC_TO, MAGIC, SLOT
from firmware.formats.record import FormatError
from hal.errors import HalError
from hal.native import aligned


def _crc(head: bytes, content) -> int:
    return binascii.crc32(content, binascii.crc32(head[CRC_FROM:CRC_TO]))


class Slots:
    """One area of the config disk (`firmware.formats.config.Area`)."""

    def __init__(self, disk, area):
        self._disk = disk
        self._area = area
        self._saving = asyncio.Lock()
        self._generation = 0
        self._newest = 1  # the first save goes to slot 0

    async def load(self):
        """Newest sound content as bytes, or None if neither slot holds one. Raises HalError only if both are unreadable."""
        found, failures = None, []
        for slot in (0, 1):
            try:
                generation, content = await self._read(slot)
            except HalError as error:
                failures.append(error)
                continue
            except FormatError:
                continue
            if generation > self._generation:
                self._generation, self._newest, found = generation, slot, content
        if len(failures) == 2:
            raise failures[0]
        return found

    async def save(self, content) -> None:
        """Durable on return. A power cut during it leaves the old content or the new. Raises FormatError, HalError."""
        if SLOT.size + len(content) > self._area.slot_bytes:
            room = self._area.slot_bytes - SLOT.size
            raise FormatError("config area %s: expected at most %d bytes, got %d" % (self._area.name, room, len(content)))
        async with self._saving:
            await self._write(self._generation + 1, 1 - self._newest, content)

    async def _write(self, generation: int, slot: int, content) -> None:
        align = self._disk.align_bytes
        buffer = aligned(-(-(SLOT.size + len(content)) // align) * align)
        SLOT.pack_into(buffer, 0, MAGIC, generation, len(content), 0)
        SLOT.pack_into(buffer, 0, MAGIC, generation, len(content), _crc(bytes(buffer[: SLOT.size]), content))
        buffer[SLOT.size : SLOT.size + len(content)] = content
        await self._disk.write(self._offset(slot), buffer)
        await self._disk.flush()
        self._generation, self._newest = generation, slot

    def _offset(self, slot: int) -> int:
        return self._area.offset + slot * self._area.slot_bytes

    async def _read(self, slot: int):
        """(generation, content). Raises FormatError if the slot holds nothing sound."""
        align = self._disk.align_bytes
        buffer = aligned(align)
        await self._disk.read(self._offset(slot), buffer)
        head = SLOT.unpack_from(buffer)[0]
        if head.magic != MAGIC:
            raise FormatError("config.SLOT.magic: expected %s, got %s" % (MAGIC, bytes(head.magic)))
        if head.length > self._area.slot_bytes - SLOT.size:
            raise FormatError("config.SLOT.length: expected at most %d, got %d" % (self._area.slot_bytes, head.length))
        if SLOT.size + head.length > align:
            buffer = aligned(-(-(SLOT.size + head.length) // align) * align)
            await self._disk.read(self._offset(slot), buffer)
        content = bytes(buffer[SLOT.size : SLOT.size + head.length])
        if _crc(bytes(buffer[: SLOT.size]), content) != head.crc:
            raise FormatError("config.SLOT.crc: content is damaged")
        return head.generation, content
