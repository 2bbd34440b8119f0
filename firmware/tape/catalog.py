"""The catalog on tape: packs a dump into compressed, checksummed frames, and loads them into a key-value database again."""

import struct

from firmware.formats.record import FormatError
from firmware.formats.tape import ENTRY, FRAME, FRAME_BYTES, NEW_TABLE, RAW, ZSTD
from hal.errors import CorruptData
from hal.loop import now_ms, sleep_ms

_LEVEL = 3
_SLICE_MS = 3
_BATCH = 64  # entries between two looks at the clock


class _Slices:
    """Gives other tasks a turn every few milliseconds."""

    def __init__(self):
        self._since = now_ms()

    async def turn(self) -> None:
        if now_ms() - self._since >= _SLICE_MS:
            await sleep_ms(0)
            self._since = now_ms()


class FrameWriter:
    """Collects entries; gives full frames. `entries` counts them."""

    def __init__(self, processor):
        self.entries = 0
        self._processor = processor
        self._raw = memoryview(bytearray(FRAME_BYTES))
        self._packed = memoryview(bytearray(FRAME.size + FRAME_BYTES))
        self._fill = 0
        self._tables = {}

    def add(self, table: str, key: bytes, value: bytes):
        """Frame that became full (valid until the next call) or None. Raises FormatError for an entry beyond a frame."""
        number = self._tables.get(table)
        name = table.encode() if number is None else b""
        length = ENTRY.size + len(key) + len(value) + (ENTRY.size + len(name) if name else 0)
        if length > FRAME_BYTES:
            raise FormatError("tape.ENTRY: expected at most %d bytes, got %d" % (FRAME_BYTES, length))
        full = self._frame(0) if self._fill + length > FRAME_BYTES else None
        if name:
            number = self._tables[table] = len(self._tables)
            self._put(NEW_TABLE, name, b"")
        self._put(number, key, value)
        self.entries += 1
        return full

    def finish(self):
        """The last frame."""
        return self._frame(1)

    def _put(self, table: int, key: bytes, value: bytes) -> None:
        at = self._fill + ENTRY.size
        end = at + len(key) + len(value)
        ENTRY.pack_into(self._raw, self._fill, table, len(key), len(value))
        self._raw[at : at + len(key)] = key
        self._raw[at + len(key) : end] = value
        self._fill = end

    def _frame(self, last: int):
        raw = self._raw[: self._fill]
        packed = self._packed
        codec, stored = ZSTD, 0
        if raw:
            stored = self._processor.compress(raw, packed[FRAME.size :], _LEVEL)
        if not stored:
            codec, stored = RAW, len(raw)
            packed[FRAME.size : FRAME.size + stored] = raw
        end = FRAME.size + stored
        FRAME.pack_into(packed, 0, codec, last, len(raw), stored, self._processor.crc32c(packed[FRAME.size : end]))
        self._fill = 0
        return packed[:end]


async def write_catalog(dump, processor, writer) -> int:
    """Append the frames of `dump`, entries (table, key, value), to the coded `writer`; gives how many entries."""
    frames = FrameWriter(processor)
    slices = _Slices()
    for table, key, value in dump:
        full = frames.add(table, key, value)
        if full:
            await writer.append(full)
        if frames.entries % _BATCH == 0:
            await slices.turn()
    await writer.append(frames.finish())
    return frames.entries


class FrameReader:
    """Reads frames from a stream that has `read(offset, buffer)`, within [offset, end)."""

    def __init__(self, stream, processor, offset: int, end: int):
        self._stream = stream
        self._processor = processor
        self._at = offset
        self._end = end
        self._stored = memoryview(bytearray(FRAME_BYTES))
        self._raw = memoryview(bytearray(FRAME_BYTES))
        self.done = False

    async def next(self):
        """Decoded body of the next frame, valid until the next call. Raises CorruptData, MediumError."""
        head = bytearray(FRAME.size)
        await self._read(memoryview(head))
        frame = FRAME.unpack(head)
        if frame.codec not in (RAW, ZSTD) or frame.raw_bytes > FRAME_BYTES or frame.stored_bytes > FRAME_BYTES:
            raise CorruptData("catalog on tape: no frame at byte %d of the image" % (self._at - FRAME.size))
        stored = self._stored[: frame.stored_bytes]
        await self._read(stored)
        if self._processor.crc32c(stored) != frame.crc:
            raise CorruptData("catalog on tape: wrong CRC before byte %d of the image" % self._at)
        self.done = frame.last == 1
        return self._decode(frame, stored)

    def _decode(self, frame, stored):
        if frame.codec == RAW:
            return stored
        length = self._processor.decompress(stored, self._raw[: frame.raw_bytes])
        if length != frame.raw_bytes:
            raise CorruptData("catalog on tape: a frame of %d bytes, expected %d" % (length, frame.raw_bytes))
        return self._raw[:length]

    async def _read(self, buffer) -> None:
        if self._at + len(buffer) > self._end:
            raise CorruptData("catalog on tape: expected its last frame before byte %d of the image" % self._end)
        await self._stream.read(self._at, buffer)
        self._at += len(buffer)


def entries(body, tables: list):
    """Generator of (table name, key, value) of a decoded frame. `tables` collects the names over all frames of a dump."""
    code, size = ENTRY.code, ENTRY.size
    at = 0
    while at < len(body):
        if at + size > len(body):
            raise CorruptData("catalog on tape: an entry is cut short")
        table, key_bytes, value_bytes = struct.unpack_from(code, body, at)
        middle = at + size + key_bytes
        end = middle + value_bytes
        if end > len(body) or (table != NEW_TABLE and table >= len(tables)):
            raise CorruptData("catalog on tape: an entry of table %d with %d bytes does not fit" % (table, end - at))
        key = bytes(body[at + size : middle])
        if table == NEW_TABLE:
            tables.append(_name(key))
        else:
            yield tables[table], key, bytes(body[middle:end])
        at = end


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeError:
        raise CorruptData("catalog on tape: a table whose name is not text")


async def load_catalog(frames, kv, known: tuple, progress=None) -> int:
    """Put every entry of the FrameReader into `kv`, one transaction a frame; gives how many. Tables not `known` are left out."""
    tables = []
    count = 0
    while not frames.done:
        body = await frames.next()
        txn = kv.begin(True)
        try:
            for table, key, value in entries(body, tables):
                if table in known:
                    txn.put(table, key, value)
                    count += 1
        except BaseException:
            txn.abort()
            raise
        txn.commit()
        if progress:
            progress(count)
        await sleep_ms(0)
    return count
