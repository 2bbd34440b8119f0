"""One block of the tape: sealing it and judging what came back. Used by everything in firmware/tape that touches blocks."""

import struct

from firmware.formats.record import FormatError
from firmware.formats.tape import AREA_OFFSET, HEADER, MAGIC, PAYLOAD_OFFSET, VERSION

_CRC = "<I"
_CRC_AT = AREA_OFFSET - 4  # HEADER.crc is its last field


def payload_bytes(block_bytes: int) -> int:
    """Room for payload in a block of this size."""
    return block_bytes - PAYLOAD_OFFSET


def seal_payload(processor, buffer) -> int:
    """Write the payload's CRC into the area; gives it. To be done before the area goes into parity."""
    crc = processor.crc32c(buffer[PAYLOAD_OFFSET:])
    struct.pack_into(_CRC, buffer, AREA_OFFSET, crc)
    return crc


def seal(processor, buffer, kind: int, member: int, image: bytes, sequence: int, group: int, position: int, payload: int,
         data_blocks: int) -> None:  # fmt: skip
    """Write the header of the whole block `buffer` (memoryview)."""
    HEADER.pack_into(buffer, 0, MAGIC, VERSION, kind, member, image, sequence, group, position, payload, data_blocks, 0)
    struct.pack_into(_CRC, buffer, _CRC_AT, _crc(processor, buffer))


def _crc(processor, buffer) -> int:
    return processor.crc32c(buffer[AREA_OFFSET:], processor.crc32c(buffer[:_CRC_AT]))


def check(processor, buffer):
    """HEADER of the block that is the whole of `buffer`, or None if it is not a sound block of this format."""
    try:
        header = HEADER.unpack_from(buffer)[0]
    except FormatError:
        return None
    if header.magic != MAGIC or header.version != VERSION or header.payload_bytes > len(buffer) - PAYLOAD_OFFSET:
        return None
    if header.crc != _crc(processor, buffer):
        return None
    return header


def payload_crc(buffer) -> int:
    """The payload's CRC of a sound DATA or INDEX block."""
    return struct.unpack_from(_CRC, buffer, AREA_OFFSET)[0]


def proves_itself(processor, area) -> bool:
    """Whether a recovered area carries the CRC of its payload."""
    return struct.unpack_from(_CRC, area, 0)[0] == processor.crc32c(area[PAYLOAD_OFFSET - AREA_OFFSET :])
