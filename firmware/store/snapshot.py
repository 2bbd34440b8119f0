"""The store at one instant, for a tape: segments that stay as they are and the catalog as it was. Made by store.snapshot."""

from firmware.formats import catalog as layout
from firmware.store import superblock as super_


class Snapshot:
    """`segments` is [(number, used bytes)] in disk order; `superblock` the encoded SUPERBLOCK.

    Segments freed meanwhile are not reused before `release`. A segment that was open is used up to its last commit.
    """

    def __init__(self, kv, disk, superblock, processor, segments):
        self._disk = disk
        self._segments = segments
        self._superblock = superblock
        self.txn = kv.begin()
        self._pin = segments.pin()
        self.superblock = super_.encode(superblock, processor)
        self.segments = []
        for key, value in self.txn.scan(layout.SEGMENTS):
            self.segments.append((int.from_bytes(key, "big"), layout.SEGMENT.unpack(value).tail))

    def dump(self):
        """Generator of (table, key, value) of the whole catalog at that instant."""
        for table in layout.TABLES:
            for key, value in self.txn.scan(table):
                yield table, key, value

    async def read(self, number: int, offset: int, buffer) -> None:
        """Fill the aligned `buffer` from `offset` of segment `number`. Raises MediumError, BusError, Timeout."""
        await self._disk.read(super_.address(self._superblock, number, offset), buffer)

    def release(self) -> None:
        """Call once."""
        self.txn.abort()
        self._segments.unpin(self._pin)
