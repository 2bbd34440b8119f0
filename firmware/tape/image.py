"""An image on tape as one readable stream of bytes: `open_image` reads label, index and end, `TapeImage.read` the rest.

Used by the mounted tape, verify and the service.
"""

import asyncio

from firmware.formats import tape as form
from firmware.formats.record import FormatError
from firmware.tape import block
from firmware.tape.blocks import Blocks
from firmware.tape.geometry import INDEX as INDEX_GEOMETRY
from firmware.tape.geometry import Geometry
from firmware.tape.index import index_file_blocks, parse_index
from firmware.tape.label import BLANK, OURS, Found, identify, parse_label, persist, read_block, small_payload
from firmware.tape.reader import CodedReader
from firmware.tape.seek import IndexSearch
from firmware.tape.writer import IMAGE_KINDS, INDEX_KINDS
from hal.errors import BlankCheck, CorruptData, FileMark, HalError, MediumError, NotReady, UnitAttention, WrongLength

# Of the index of a tape whose labels are damaged. The long probe only where a longer block was met: not every chain of target
# and host adapter carries it, and istgt refuses a read whose buffer reaches beyond its end of medium.
_PROBE_BYTES = (form.BLOCK_BYTES, form.BLOCK_BYTES_MAX)


class TapeImage:
    """A finished image. `label`, `index` (INDEX), `end` (END, or None where only damage is left of it), `segments` (SegmentMap)."""

    def __init__(self, blocks, processor, index, segments, end):
        self.label = blocks.label
        self.index = index
        self.segments = segments
        self.end = end
        self.blocks = blocks
        label = blocks.label
        self.reader = CodedReader(
            blocks, processor, Geometry(label.k, label.m, label.depth), IMAGE_KINDS, form.IMAGE_ADDRESS, index.data_blocks
        )
        self._room = block.payload_bytes(label.block_bytes)
        self._lock = asyncio.Lock()
        self._closed = False

    async def read(self, offset: int, buffer) -> None:
        """Fill `buffer` from byte `offset` of the image stream, corrected. One caller at a time, others wait.

        Raises MediumError beyond correction or beyond the stream, NotReady and BusError as `Blocks.read`.
        """
        end = offset + len(buffer)
        if end > self.index.stream_bytes:
            raise MediumError(
                "tape %s: the image has %d bytes, asked for %d to %d" % (self.label.name, self.index.stream_bytes, offset, end)
            )
        async with self._lock:
            self._require_open()
            done = 0
            while offset < end:
                number, within = divmod(offset, self._room)
                payload = await self.reader.payload(number)
                count = min(self._room - within, end - offset)
                buffer[done : done + count] = payload[within : within + count]
                offset += count
                done += count

    def _require_open(self) -> None:
        if self._closed:
            raise NotReady("tape %s is not open any more" % self.label.name)

    async def close(self) -> None:
        """After the read that is under way; later ones raise NotReady. The drive stays as it is."""
        async with self._lock:
            if not self._closed:
                self._closed = True
                self.reader.close()


async def open_image(tape, processor) -> TapeImage:
    """Of the tape in the drive.

    Raises NotReady for a blank, foreign, empty or unfinished tape (the text says which), CorruptData for an index that is no
    index, MediumError where it is beyond correction.
    """
    return await persist(lambda: _open_image(tape, processor))


async def _open_image(tape, processor) -> TapeImage:
    found = await identify(tape, processor)
    if found.kind == BLANK:
        raise NotReady("the drive holds a blank tape: there is nothing to read")
    if found.kind == OURS and found.label.contents == form.EMPTY:
        raise NotReady("tape %s holds no image yet: use `tape backup`" % found.label.name)
    start, label, data_blocks = await _find_index(tape, processor, found)
    geometry = Geometry(label.k, label.m, label.depth)
    blocks = Blocks(tape, processor, label, geometry.burst_blocks())
    raw = await _read_index(blocks, processor, start, data_blocks)
    index, segments, index_bytes = parse_index(raw, label)
    end = await _read_end(blocks, processor, start + index_file_blocks(data_blocks) + 1)
    blocks.moved()
    _compare(label, index, end, raw[:index_bytes], processor)
    return TapeImage(blocks, processor, index, segments, end)


def _unfinished(found) -> NotReady:
    if found.kind != OURS:
        return NotReady("the drive holds %s: no image of this appliance" % found.text)
    return NotReady("%s is unfinished: its copy was cut before the end; write it again with `tape backup`" % found.text)


async def _find_index(tape, processor, found: Found) -> tuple:
    """(address of the index, label, its data blocks). The filemarks lead there; where labels are damaged, the index names them."""
    try:
        if found.kind != OURS:
            await tape.rewind()
        await tape.space_filemarks(2)
        start = await tape.position()
    except BlankCheck:
        raise _unfinished(found)
    except MediumError:
        start = await _search_index(tape, processor, found)
    header, block_bytes = await _index_header(tape, processor, found, start)
    if header is None:
        raise _unfinished(found)
    if header.data_blocks * (block_bytes - form.PAYLOAD_OFFSET) > form.INDEX_BYTES_MAX:
        raise CorruptData("%s: the index claims %d blocks" % (found.text, header.data_blocks))
    label = found.label or await _label_of_index(tape, processor, start, header, block_bytes)
    return start, label, header.data_blocks


async def _index_header(tape, processor, found: Found, start: int) -> tuple:
    """(HEADER of the first sound block of the index at `start`, its length), (None, 0) if there is none."""
    for size in (found.label.block_bytes,) if found.label else _PROBE_BYTES:
        if await tape.position() != start:
            await tape.locate(start)
        buffer = memoryview(bytearray(size))
        longer = False
        for _ in range(INDEX_GEOMETRY.m + 1):
            view = await read_block(tape, buffer)
            header = None if isinstance(view, HalError) else block.check(processor, view)
            if header and header.kind in INDEX_KINDS and (found.label is None or header.image == found.label.image):
                return header, len(view)
            if isinstance(view, (BlankCheck, FileMark)):
                break
            # Not every drive says so: istgt cuts a longer block to the length of the buffer.
            longer = longer or isinstance(view, WrongLength) or (not isinstance(view, HalError) and len(view) == size)
        if not longer:
            break
    return None, 0


async def _search_index(tape, processor, found: Found) -> int:
    """Where damage keeps the drive from counting filemarks."""
    start = await IndexSearch(tape, processor, found.label).run() if found.label else None
    if start is None:
        raise _unfinished(found)
    try:
        await tape.locate(start)
    except (BlankCheck, MediumError):
        raise _unfinished(found)
    return start


class _Stub:
    """What Blocks needs of a label before the label is known."""

    def __init__(self, image: bytes, block_bytes: int):
        self.name = "with unreadable labels"
        self.image = image
        self.block_bytes = block_bytes


async def _label_of_index(tape, processor, start: int, header, block_bytes: int):
    """LABEL out of the index, for a tape whose own labels are damaged."""
    blocks = Blocks(tape, processor, _Stub(header.image, block_bytes), 0)
    raw = await _read_index(blocks, processor, start, header.data_blocks)
    try:
        return parse_label(form.INDEX.unpack_from(raw)[0].label)
    except FormatError as error:
        raise CorruptData("tape %s: %s" % (blocks.label.name, error))


async def _read_index(blocks, processor, start: int, data_blocks: int):
    """The whole index stream."""
    reader = CodedReader(blocks, processor, INDEX_GEOMETRY, INDEX_KINDS, start, data_blocks)
    room = block.payload_bytes(blocks.label.block_bytes)
    raw = memoryview(bytearray(room * data_blocks))
    try:
        for number in range(data_blocks):
            raw[number * room : (number + 1) * room] = await reader.payload(number)
    finally:
        reader.close()
    return raw


async def _read_end(blocks, processor, address: int):
    """END, or None where something is recorded but unreadable. Raises NotReady where nothing is."""
    buffer = memoryview(bytearray(form.LABEL_BYTES))
    damaged = False
    await _behind_filemark(blocks, address)
    for copy in range(form.END_COPIES):
        view = await read_block(blocks.tape, buffer)
        found = None if isinstance(view, HalError) else small_payload(processor, view, form.END_BLOCK)
        if found and found[0].image == blocks.label.image:
            return _parse_end(found[1], blocks.label)
        damaged = (
            damaged
            or isinstance(view, MediumError)
            or (not isinstance(view, HalError) and block.check(processor, view) is None)
        )
        if isinstance(view, (BlankCheck, FileMark)):
            break
    if damaged:
        return None
    raise NotReady("tape %s is unfinished: it has no end record; write it again with `tape backup`" % blocks.label.name)


def _parse_end(raw, label):
    try:
        return form.END.unpack(raw)
    except FormatError as error:
        raise CorruptData("tape %s: %s" % (label.name, error))


async def _behind_filemark(blocks, address: int) -> None:
    """Go behind the index, by its filemark; to the computed `address` where that cannot be reached."""
    try:
        await blocks.tape.space_filemarks(1)
    except BlankCheck:
        pass  # the next read says so
    except (MediumError, UnitAttention):
        await blocks.tape.rewind()
        await blocks.tape.locate(address)


def _compare(label, index, end, raw, processor) -> None:
    if end is None:
        return
    ours = (index.image_blocks, index.stream_bytes, index.stream_crc, processor.blake2b(raw))
    theirs = (end.image_blocks, end.stream_bytes, end.stream_crc, end.index_digest)
    if ours != theirs:
        raise CorruptData("tape %s: index and end record disagree: expected %d blocks, %d bytes, got %d blocks, %d bytes"
                          % (label.name, theirs[0], theirs[1], ours[0], ours[1]))  # fmt: skip
