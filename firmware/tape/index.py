"""The index and the end record of a tape: what a reader needs before the image itself. Used by the writer and by TapeImage."""

import struct

from firmware.formats import tape as form
from firmware.formats.record import FormatError
from firmware.tape import block
from firmware.tape.geometry import INDEX as GEOMETRY
from firmware.tape.geometry import Geometry
from hal.errors import CorruptData


class SegmentMap:
    """SEGMENT rows as they lie in image and index, found by number."""

    def __init__(self, rows):
        """`rows`: bytes. Raises CorruptData unless the numbers rise."""
        self._rows = rows
        self._size = form.SEGMENT.size
        self._count = len(rows) // self._size
        last = -1
        for at in range(0, self._count * self._size, self._size):
            (number,) = struct.unpack_from("<I", rows, at)
            if number <= last:
                raise CorruptData("tape index: segment %d after %d, expected rising numbers" % (number, last))
            last = number

    def __len__(self) -> int:
        return self._count

    def row(self, position: int):
        """(number, used bytes, offset in the image stream)."""
        return struct.unpack_from(form.SEGMENT.code, self._rows, position * self._size)

    def find(self, number: int):
        """(used bytes, offset in the image stream) of segment `number`, or None."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            found, used_bytes, offset = self.row(middle)
            if found == number:
                return used_bytes, offset
            if found < number:
                low = middle + 1
            else:
                high = middle
        return None


def pack_segments(segments: list, start: int, rounded) -> tuple:
    """(SEGMENT rows as bytes, offset behind the last segment) for [(number, used bytes)] whose contents begin at `start`."""
    rows = bytearray(form.SEGMENT.size * len(segments))
    offset = start
    for position, (number, used_bytes) in enumerate(segments):
        form.SEGMENT.pack_into(rows, position * form.SEGMENT.size, number, used_bytes, offset)
        offset += rounded(used_bytes)
    return rows, offset


def parse_index(raw, label):
    """(INDEX, SegmentMap, bytes of the index stream) of `raw`, which may be longer. Raises CorruptData for figures that cannot be."""
    try:
        index, end = form.INDEX.unpack_from(raw)
    except FormatError as error:
        raise CorruptData("tape %s: %s" % (label.name, error))
    room = block.payload_bytes(label.block_bytes)
    _expect(label, "version", index.version == form.VERSION)
    _expect(label, "data_blocks", index.data_blocks == (index.stream_bytes + room - 1) // room)
    geometry = Geometry(label.k, label.m, label.depth)
    _expect(label, "image_blocks", index.image_blocks == geometry.file_blocks(index.data_blocks))
    rows_end = end + index.segments * form.SEGMENT.size
    _expect(label, "segments", rows_end <= len(raw))
    _expect(label, "catalog", index.catalog_offset + index.catalog_bytes <= index.stream_bytes)
    _expect(label, "segment_bytes", index.segment_bytes > 0)
    return index, SegmentMap(memoryview(raw)[end:rows_end]), rows_end


def _expect(label, field: str, holds: bool) -> None:
    if not holds:
        raise CorruptData("tape %s: the index contradicts itself in %s; verify the tape" % (label.name, field))


def index_blocks(index_bytes: int, block_bytes: int) -> int:
    """Data blocks of an index stream."""
    room = block.payload_bytes(block_bytes)
    return (index_bytes + room - 1) // room


def index_file_blocks(data_blocks: int) -> int:
    """All blocks of the index file."""
    return GEOMETRY.file_blocks(data_blocks)
