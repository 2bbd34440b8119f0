"""Makes and reads the superblock of the segment region. Called by store.py and when a tape is mounted."""

from firmware.formats import disk as layout
from hal.errors import CorruptData, NoSpace
from hal.native import aligned

_CRC_BYTES = 4
_MIN_SEGMENTS = 8


def describe(uuid: bytes, capacity_bytes: int, created_ns: int, segment_bytes: int = 0):
    """SUPERBLOCK tuple for a region of `capacity_bytes`; its crc is 0. Raises NoSpace if too small."""
    size = segment_bytes or layout.segment_bytes(capacity_bytes)
    segments = (capacity_bytes - layout.SUPERBLOCK_BYTES) // size
    if segments < _MIN_SEGMENTS:
        raise NoSpace(
            "disk region of %d bytes is too small: at least %d needed"
            % (capacity_bytes, layout.SUPERBLOCK_BYTES + _MIN_SEGMENTS * size)
        )
    return layout.SUPERBLOCK.tuple(layout.SUPERBLOCK_MAGIC, layout.VERSION, uuid, size, segments, created_ns, 0)


def encode(superblock, processor) -> bytes:
    """The bytes of a SUPERBLOCK with its crc."""
    body = layout.SUPERBLOCK.pack(*superblock)[:-_CRC_BYTES]
    return layout.SUPERBLOCK.pack(*(tuple(superblock[:-1]) + (processor.crc32c(body),)))


def decode(data, processor):
    """SUPERBLOCK tuple. Raises CorruptData naming what is wrong."""
    found, end = layout.SUPERBLOCK.unpack_from(data)
    if found.magic != layout.SUPERBLOCK_MAGIC:
        raise CorruptData("superblock: expected the magic %s, got %s" % (layout.SUPERBLOCK_MAGIC, found.magic))
    if found.crc != processor.crc32c(bytes(data[: end - _CRC_BYTES])):
        raise CorruptData("superblock: checksum does not match")
    if found.version != layout.VERSION:
        raise CorruptData("superblock: expected version %d, got %d" % (layout.VERSION, found.version))
    return found


async def write(disk, superblock, processor) -> None:
    """Both copies, durable on return."""
    block = aligned(layout.BLOCK)
    data = encode(superblock, processor)
    block[: len(data)] = data
    for offset in layout.SUPERBLOCK_COPIES:
        await disk.write(offset, block)
    await disk.flush()


async def read(disk, processor):
    """The first good copy. Raises CorruptData when there is none."""
    block = aligned(layout.BLOCK)
    failure = None
    for offset in layout.SUPERBLOCK_COPIES:
        try:
            await disk.read(offset, block)
            found = decode(block, processor)
        except CorruptData as error:
            failure = error
            continue
        if layout.SUPERBLOCK_BYTES + found.segments * found.segment_bytes > disk.size_bytes:
            raise CorruptData(
                "superblock: expected a disk of at least %d bytes, got %d"
                % (layout.SUPERBLOCK_BYTES + found.segments * found.segment_bytes, disk.size_bytes)
            )
        return found
    raise failure


def address(superblock, segment: int, offset: int) -> int:
    """Byte address on the disk of `offset` in `segment`."""
    return layout.SUPERBLOCK_BYTES + segment * superblock.segment_bytes + offset
