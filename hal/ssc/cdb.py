"""Command descriptor blocks and the parameter data of a tape drive. Used by `hal.ssc.drive` and the simulated drive.

Ref: SPC-4 clause 6 (INQUIRY, MODE SENSE, MODE SELECT, TEST UNIT READY, PREVENT ALLOW), SSC-3 clause 7 (the rest).
"""

import struct

TEST_UNIT_READY = 0x00
REWIND = 0x01
READ_BLOCK_LIMITS = 0x05
READ_6 = 0x08
WRITE_6 = 0x0A
WRITE_FILEMARKS = 0x10
SPACE = 0x11
INQUIRY = 0x12
MODE_SELECT = 0x15
MODE_SENSE = 0x1A
LOAD_UNLOAD = 0x1B
PREVENT_ALLOW = 0x1E
LOCATE = 0x2B
READ_POSITION = 0x34
LOCATE_16 = 0x92

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS

# opcode: (name, timeout). Motion takes as long as winding a whole LTO cartridge with retries; the data
# commands may wait for the drive to reposition, retry and recalibrate. Ref: the times LTO drives report in
# REPORT SUPPORTED OPERATION CODES.
COMMANDS = {
    TEST_UNIT_READY: ("TEST UNIT READY", 30 * SECOND_MS),
    REWIND: ("REWIND", 15 * MINUTE_MS),
    READ_BLOCK_LIMITS: ("READ BLOCK LIMITS", 30 * SECOND_MS),
    READ_6: ("READ", 25 * MINUTE_MS),
    WRITE_6: ("WRITE", 25 * MINUTE_MS),
    WRITE_FILEMARKS: ("WRITE FILEMARKS", 25 * MINUTE_MS),
    SPACE: ("SPACE", 40 * MINUTE_MS),
    INQUIRY: ("INQUIRY", 30 * SECOND_MS),
    MODE_SELECT: ("MODE SELECT", MINUTE_MS),
    MODE_SENSE: ("MODE SENSE", MINUTE_MS),
    LOAD_UNLOAD: ("LOAD UNLOAD", 15 * MINUTE_MS),
    PREVENT_ALLOW: ("PREVENT ALLOW MEDIUM REMOVAL", 30 * SECOND_MS),
    LOCATE: ("LOCATE", 40 * MINUTE_MS),
    READ_POSITION: ("READ POSITION", 5 * MINUTE_MS),
    LOCATE_16: ("LOCATE(16)", 40 * MINUTE_MS),
}

TRANSFER_MAX = 0xFFFFFF  # READ(6), WRITE(6): 24 bits
SPACE_MAX = 0x7FFFFF  # SPACE(6): 24 bits, signed
SPACE_BLOCKS = 0
SPACE_FILEMARKS = 1


def _six(opcode: int, flags: int, count: int) -> bytes:
    """The common shape: flags, 24-bit count (two's complement), control."""
    if not -0x800000 <= count <= 0xFFFFFF:
        raise ValueError("count %d does not fit the 24 bits of %s" % (count, COMMANDS[opcode][0]))
    return struct.pack(">BBBHB", opcode, flags, count >> 16 & 0xFF, count & 0xFFFF, 0)


def test_unit_ready() -> bytes:
    return bytes(6)


def rewind(immediate: bool) -> bytes:
    return _six(REWIND, int(immediate), 0)


def read(length: int) -> bytes:
    """One block of up to `length` bytes. SILI is off, so that a block of another length is reported."""
    return _six(READ_6, 0, length)


def write(length: int) -> bytes:
    return _six(WRITE_6, 0, length)


def write_filemarks(count: int) -> bytes:
    """IMMED is 0: status comes when everything before is on the medium. Ref: SSC-3 6.9."""
    return _six(WRITE_FILEMARKS, 0, count)


def space(kind: int, count: int) -> bytes:
    return _six(SPACE, kind, count)


_LOAD, _RETENSION = 1, 2


def load(immediate: bool, retension: bool = False) -> bytes:
    """`retension` asks for a tightening that today's drives ignore; tgt takes that bit for START STOP UNIT's load/eject bit
    and does nothing without it."""
    return bytes((LOAD_UNLOAD, int(immediate), 0, 0, _LOAD | _RETENSION * retension, 0))


def unload(retension: bool = False) -> bytes:
    """IMMED is 0: GOOD means that the medium is out, or that the drive ignores the command."""
    return bytes((LOAD_UNLOAD, 0, 0, 0, _RETENSION * retension, 0))


def prevent_removal(prevent: bool) -> bytes:
    """Ref: SPC-4 6.15."""
    return bytes((PREVENT_ALLOW, 0, 0, 0, int(prevent), 0))


def locate(immediate: bool, block: int) -> bytes:
    """LOCATE(10), or LOCATE(16) for a block that it cannot name."""
    if block <= 0xFFFFFFFF:
        return struct.pack(">BBBIBBB", LOCATE, int(immediate), 0, block, 0, 0, 0)
    return struct.pack(">BBBBQBBBB", LOCATE_16, int(immediate), 0, 0, block, 0, 0, 0, 0)


INQUIRY_BYTES = 96


def inquiry(page=None) -> bytes:
    """Standard data, or vital product data `page`."""
    return bytes((INQUIRY, 0 if page is None else 1, page or 0, 0, INQUIRY_BYTES, 0))


def text(raw) -> str:
    """Printable ASCII of a fixed-width field, trimmed; anything else becomes a dot: it ends on the console."""
    shown = "".join(chr(b) if 32 <= b < 127 else "." for b in bytes(raw))
    return shown.strip(" .")


def parse_inquiry(raw) -> tuple:
    """(device type, vendor, product, revision). Ref: SPC-4 6.4.2."""
    return (raw[0] & 0x1F, text(raw[8:16]), text(raw[16:32]), text(raw[32:36]))


def parse_serial(raw) -> str:
    """Unit serial number of VPD page 80h. Ref: SPC-4 7.8.15."""
    return text(raw[4 : 4 + min(raw[3], len(raw) - 4)])


LIMITS_BYTES = 6


def read_block_limits() -> bytes:
    return _six(READ_BLOCK_LIMITS, 0, 0)


def parse_block_limits(raw) -> tuple:
    """(smallest, largest, granule) block length in bytes; largest 0 means no limit. Ref: SSC-3 6.3."""
    granularity, high, low, smallest = struct.unpack(">BBHH", bytes(raw[:LIMITS_BYTES]))
    return (smallest, high << 16 | low, 1 << (granularity & 0x1F))


MODE_BYTES = 12  # header and one block descriptor
_BUFFERED = 0x10  # buffered mode 1: status when the block is in the drive's buffer


def mode_sense() -> bytes:
    """Header and block descriptor; page 0 is vendor specific, and drives that have none return just these. Ref: SSC-3 8.3."""
    return bytes((MODE_SENSE, 0, 0, 0, MODE_BYTES, 0))


def parse_mode(raw) -> tuple:
    """(write protected, buffered, density, block length) of MODE SENSE(6); block length None without a descriptor."""
    specific, descriptor = raw[2], raw[3]
    buffered = bool(specific & 0x70)
    if descriptor < 8:
        return (bool(specific & 0x80), buffered, 0, None)
    return (bool(specific & 0x80), buffered, raw[4], raw[9] << 16 | raw[10] << 8 | raw[11])


def mode_select() -> bytes:
    return bytes((MODE_SELECT, 0x10, 0, 0, MODE_BYTES, 0))


def variable_mode(density: int) -> bytes:
    """Parameter list: buffered, block length 0 (variable), the density as sensed. Ref: SSC-3 8.3."""
    return bytes((0, 0, _BUFFERED, 8, density, 0, 0, 0, 0, 0, 0, 0))


POSITION_BYTES = 20


def read_position() -> bytes:
    """Short form: the allocation length is 0 there. Ref: SSC-3 7.7."""
    return bytes((READ_POSITION, 0, 0, 0, 0, 0, 0, 0, 0, 0))


def parse_position(raw):
    """First logical object location, or None where the drive says it does not know. Ref: SSC-3 7.7.2."""
    if raw[0] & 0x06:  # LOLU (BPU in SSC-2), PERR
        return None
    return struct.unpack(">I", bytes(raw[4:8]))[0]
