"""GUID partition tables (UEFI 2.10 clause 5.3): read, check, build. Used by `hal.linux.pc` and, for the GUIDs, by image/."""

import binascii
import os
import struct

from hal.errors import CorruptData

# Partition types of ours, never reused. Text form as sfdisk prints it.
CONFIG_TYPE = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D0000C0"  # config area of the flash disk
CATALOG_TYPE = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D0000CA"  # filesystem of the data disk
STORE_TYPE = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D00005E"  # raw region of the data disk

_SIGNATURE = b"EFI PART"
_HEADER = "<8sIIIIQQQQ16sQIII"
_HEADER_BYTES = 92
_ENTRY = "<16s16sQQQ72s"
_ENTRY_BYTES = 128
_ENTRIES = 128
_REVISION = 0x00010000


class Partition:
    """`kind` and `guid` as text, `start` and `size_bytes` in bytes, `number` from 1."""

    def __init__(self, number: int, kind: str, guid: str, start: int, size_bytes: int):
        self.number = number
        self.kind = kind
        self.guid = guid
        self.start = start
        self.size_bytes = size_bytes


def guid_bytes(text: str) -> bytes:
    """The first three fields are little-endian on disk."""
    a, b, c, d, e = text.split("-")
    return struct.pack("<IHH", int(a, 16), int(b, 16), int(c, 16)) + binascii.unhexlify(d + e)


def guid_text(raw: bytes) -> str:
    a, b, c = struct.unpack("<IHH", raw[:8])
    tail = binascii.hexlify(raw[8:]).decode().upper()
    return "%08X-%04X-%04X-%s-%s" % (a, b, c, tail[:4], tail[4:])


def random_guid() -> str:
    """A version 4 UUID (RFC 9562)."""
    raw = bytearray(os.urandom(16))
    raw[7] = raw[7] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return guid_text(bytes(raw))


def _name(raw: str) -> bytes:
    text = b"".join(bytes((ord(c), 0)) for c in raw)
    return text + bytes(72 - len(text))


def _header(own: int, other: int, entries_lba: int, last_lba: int, guid: bytes, entries_crc: int, first: int) -> bytes:
    def packed(crc: int) -> bytes:
        return struct.pack(
            _HEADER,
            _SIGNATURE,
            _REVISION,
            _HEADER_BYTES,
            crc,
            0,
            own,
            other,
            first,
            last_lba,
            guid,
            entries_lba,
            _ENTRIES,
            _ENTRY_BYTES,
            entries_crc,
        )

    return packed(binascii.crc32(packed(0)) & 0xFFFFFFFF)


def _protective(sectors: int) -> bytes:
    """Protective MBR (clause 5.2.3)."""
    record = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF))
    return bytes(446) + record + bytes(48) + b"\x55\xaa"


def build(size_bytes: int, sector_bytes: int, partitions: list) -> tuple:
    """(start of the disk, end of the disk) as bytes; `partitions` lists (type, name, start, size) in bytes, aligned to sectors."""
    sectors = size_bytes // sector_bytes
    table_sectors = _ENTRIES * _ENTRY_BYTES // sector_bytes
    first, last = 2 + table_sectors, sectors - table_sectors - 2
    entries = b""
    for kind, name, start, size in partitions:
        low = start // sector_bytes
        high = low + size // sector_bytes - 1
        if start % sector_bytes or size % sector_bytes or not first <= low <= high <= last:
            raise ValueError("partition %s at %d of %d bytes does not fit" % (name, start, size))
        entries += struct.pack(_ENTRY, guid_bytes(kind), guid_bytes(random_guid()), low, high, 0, _name(name))
    entries += bytes(_ENTRIES * _ENTRY_BYTES - len(entries))
    crc = binascii.crc32(entries) & 0xFFFFFFFF
    disk = guid_bytes(random_guid())
    front = _header(1, sectors - 1, 2, last, disk, crc, first)
    back = _header(sectors - 1, 1, last + 1, last, disk, crc, first)
    pad = bytes(sector_bytes - _HEADER_BYTES)
    return _protective(sectors) + bytes(sector_bytes - 512) + front + pad + entries, entries + back + pad


def parse(start: bytes, sector_bytes: int) -> list:
    """Partitions from the first `sector_bytes * 2 + 16384` bytes of a disk. [] without a GPT. Raises CorruptData."""
    header = start[sector_bytes : sector_bytes + _HEADER_BYTES]
    if header[:8] != _SIGNATURE:
        return []
    fields = struct.unpack(_HEADER, header)
    zeroed = header[:16] + bytes(4) + header[20:]
    if fields[2] != _HEADER_BYTES or binascii.crc32(zeroed) & 0xFFFFFFFF != fields[3]:
        raise CorruptData("GPT header has a wrong checksum")
    if fields[10] != 2 or fields[11] > _ENTRIES or fields[12] != _ENTRY_BYTES:
        raise CorruptData(
            "GPT has %d entries of %d bytes, expected at most %d of %d" % (fields[11], fields[12], _ENTRIES, _ENTRY_BYTES)
        )
    entries = start[2 * sector_bytes : 2 * sector_bytes + fields[11] * _ENTRY_BYTES]
    if binascii.crc32(entries) & 0xFFFFFFFF != fields[13]:
        raise CorruptData("GPT entries have a wrong checksum")
    return _partitions(entries, sector_bytes)


def _partitions(entries: bytes, sector_bytes: int) -> list:
    found = []
    for at in range(0, len(entries), _ENTRY_BYTES):
        kind, guid, low, high, _, _ = struct.unpack(_ENTRY, entries[at : at + _ENTRY_BYTES])
        if kind != bytes(16):
            found.append(
                Partition(
                    at // _ENTRY_BYTES + 1,
                    guid_text(kind),
                    guid_text(guid),
                    low * sector_bytes,
                    (high - low + 1) * sector_bytes,
                )
            )
    return found


def read(path: str, sector_bytes: int = 512) -> list:
    """Partitions of a device or file; [] where there is no GPT. Raises CorruptData, OSError."""
    with open(path, "rb") as disk:
        return parse(disk.read(2 * sector_bytes + _ENTRIES * _ENTRY_BYTES), sector_bytes)
