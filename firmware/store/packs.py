"""Reads packs back: where they lie, their check, their items. Over the disk or a mounted tape alike."""

from firmware.formats import disk as layout
from firmware.formats import limits
from firmware.formats import pack as format_
from firmware.formats.record import FormatError
from firmware.store import superblock as super_
from firmware.store.pack_cache import PackCache
from hal.errors import CorruptData
from hal.native import aligned


class Pack:
    """A decoded pack. `raw` holds the items one after the other, of `lengths` bytes each."""

    def __init__(self, header, body, raw, lengths: tuple):
        self.header = header
        self.body = body  # the pack as stored
        self.raw = raw
        self.lengths = lengths
        self._offsets = None

    @property
    def offsets(self) -> list:
        """Where each item begins in `raw`, and the end."""
        if self._offsets is None:
            at, offsets = 0, [0]
            for length in self.lengths:
                at += length
                offsets.append(at)
            self._offsets = offsets
        return self._offsets

    def item(self, position: int):
        return self.raw[self.offsets[position] : self.offsets[position + 1]]


class Buffers:
    """Aligned buffers that are used again, in the order in which they were taken: large ones are dear to allocate."""

    _ROOM = 5 * limits.PACK_AIM_BYTES // 4

    def __init__(self):
        self._free = []
        self._taken = []

    def take(self, length: int):
        """A memoryview of `length` bytes."""
        buffer = self._free.pop() if self._free else aligned(max(length, self._ROOM))
        if len(buffer) < length:
            buffer = aligned(length)
        self._taken.append(buffer)
        return buffer[:length]

    def give_back(self) -> None:
        """The buffer taken first, of those not given back, is free again."""
        self._free.append(self._taken.pop(0))


class Packs:
    """`load` gives decoded packs and keeps the last ones in `cache` (PackCache), which may be shared."""

    def __init__(self, disk, superblock, processor, cache=None):
        self._disk = disk
        self._superblock = superblock
        self._processor = processor
        self.cache = cache if cache is not None else PackCache()

    async def _span(self, row, start: int, length: int, buffers=None):
        """View of `length` bytes of the segment from `start`, read through aligned blocks, into a buffer of `buffers` if given."""
        first = start // layout.BLOCK * layout.BLOCK
        end = (start + length + layout.BLOCK - 1) // layout.BLOCK * layout.BLOCK
        buffer = buffers.take(end - first) if buffers is not None else aligned(end - first)
        await self._disk.read(super_.address(self._superblock, row.segment, first), buffer)
        return buffer[start - first : start - first + length]

    async def stored(self, row, buffers=None):
        """The pack's bytes as stored, checked against the record's CRC. Raises CorruptData, MediumError.

        With `buffers` they are valid until the caller gives the buffer back.
        """
        if row.length > limits.FRAME_BYTES:
            raise CorruptData(
                "pack in segment %d at %d: expected at most %d bytes, got %d"
                % (row.segment, row.offset, limits.FRAME_BYTES, row.length)
            )
        record = await self._span(row, row.offset, layout.RECORD.size + row.length, buffers)
        head = layout.RECORD.unpack_from(record)[0]
        crc = self._processor.crc32c(record[layout.RECORD.size :], self._processor.crc32c(record[: layout.RECORD.size - 4]))
        if head.magic != layout.RECORD_MAGIC or head.segment != row.segment or head.length != row.length or head.crc != crc:
            raise CorruptData(
                "pack in segment %d at %d: what the disk gave is not what was written" % (row.segment, row.offset)
            )
        return record[layout.RECORD.size :]

    async def table(self, row):
        """(header, body whose table is valid but whose payload is missing): for lengths and hashes. Not checked by CRC."""
        length = layout.RECORD.size + format_.front(row.count)
        record = await self._span(row, row.offset, length)
        body = record[layout.RECORD.size :]
        header = format_.HEADER.unpack_from(body)[0]
        if header.count != row.count:
            raise CorruptData(
                "pack in segment %d at %d: expected %d items, got %d" % (row.segment, row.offset, row.count, header.count)
            )
        return header, body

    async def load(self, row):
        """The decoded pack. Raises CorruptData, MediumError."""
        key = (row.segment, row.offset)
        found = self.cache.get(key)
        if found is None:
            era = self.cache.era  # if it ends meanwhile the segment may be free by now and soon hold something else
            found = decode(await self.stored(row), self._processor)
            self.cache.keep(key, found, era)
        return found


def decode(body, processor, target=None):
    """A `Pack` of the stored bytes `body`. `target` may lend a buffer of at least raw_bytes. Raises CorruptData."""
    try:
        header, lengths, payload = format_.check(body)
    except FormatError as error:
        raise CorruptData(str(error))
    if header.codec == format_.RAW:
        raw = body[payload:]
    else:
        raw = memoryview(target if target is not None else bytearray(header.raw_bytes))[: header.raw_bytes]
        if processor.decompress(body[payload:], raw) != header.raw_bytes:
            raise CorruptData("pack payload: expected %d bytes decoded, got fewer" % header.raw_bytes)
    return Pack(header, body, raw, lengths)


def verify(pack, processor) -> None:
    """Check every item against its row in the table. Raises CorruptData naming the first that differs, or one beside it."""
    lengths, raw, at = pack.lengths, pack.raw, 0
    for first, end, size in format_.stretches(lengths):
        given = format_.sums(pack.body, first, end)
        if size:
            stop = at + size * (end - first - 1) + lengths[end - 1]
            made = processor.sums(raw[at:stop], size)
            at = stop
        else:
            made = format_.NOTHING * (end - first)
        if made != given:
            raise CorruptData(
                "%s %d: its bytes do not have the sums that came with them"
                % (format_.KIND_NAMES[pack.header.kind], pack.header.first + first + _unlike(made, given))
            )


def _unlike(made, given) -> int:
    """Number of the first row that differs."""
    size = format_.SUM.size
    for at in range(0, len(given), size):
        if made[at : at + size] != given[at : at + size]:
            return at // size
    return 0


def item_sum(processor, item) -> bytes:
    """The SUM of one item."""
    return bytes(processor.sums(item, len(item))) or format_.NOTHING


def table_of(processor, items: list) -> bytes:
    """The table of a pack of `items`."""
    return format_.table([len(item) for item in items], [item_sum(processor, item) for item in items])
