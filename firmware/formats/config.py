"""The config area: a small reliable device (a partition of the flash) that holds what the appliance needs before it has a disk.

Every area is two slots of equal size. A save writes the slot that does not hold the newest copy, so a power cut leaves the
old copy or the new one. `firmware/core/slots.py` reads and writes them.
"""

from firmware.formats.record import Record

MAGIC = b"BobbinC1"

SLOT = Record(
    "config.SLOT",
    (("magic", "8s"), ("generation", "Q"), ("length", "I"), ("crc", "I")),
    "Opens a slot; `length` bytes of content follow. CRC-32 (ISO 3309) over generation, length and content. "
    "The slot with the higher generation and a right CRC counts.",
)

# Fields that the CRC covers besides the content, as they stand in SLOT.
CRC_FROM, CRC_TO = 8, 20

# name, bytes of one slot, what its content is
_AREAS = (
    ("settings", 64 << 10, "UTF-8 lines `name=value` of the settings that differ from their defaults"),
    ("identity", 64 << 10, "config.IDENTITY"),
    ("crash", 64 << 10, "UTF-8 text: the newest tracebacks and kernel panics, newest last"),
)

IDENTITY = Record(
    "config.IDENTITY",
    (("certificate_bytes", "I"), ("key_bytes", "I")),
    "Certificate and private key follow, both DER.",
)


class Area:
    """Where an area lies: two slots of `slot_bytes` each, the first at `offset`."""

    def __init__(self, name: str, offset: int, slot_bytes: int, about: str):
        self.name = name
        self.offset = offset
        self.slot_bytes = slot_bytes
        self.about = about


def _lay_out() -> dict:
    areas, offset = {}, 0
    for name, slot_bytes, about in _AREAS:
        areas[name] = Area(name, offset, slot_bytes, about)
        offset += 2 * slot_bytes
    return areas


AREAS = _lay_out()
AREA_BYTES = sum([2 * row[1] for row in _AREAS])  # of the 1 MiB that every board has at least
