"""A tape opened as a read-only store: the catalog in a scratch database, the segments read from the tape. Made by the service."""

import os

from firmware.formats import catalog
from firmware.store.reader import Reader
from firmware.store.superblock import decode
from firmware.tape.catalog import FrameReader, load_catalog
from firmware.tape.disk import TapeDisk

_MAP_FACTOR = 8  # of the dump's compressed size: what the database may grow to
_MAP_BYTES_MIN = 64 << 20


class MountedTape:
    """`label` names the tape for clients; `reader(client_uuid)` is as that of the store; `release` when nobody reads any more."""

    def __init__(self, image, kv, processor, directory: str):
        self.label = image.label.name
        self.image = image
        self.disk = TapeDisk(image)
        self._kv = kv
        self._processor = processor
        self._directory = directory
        self._superblock = decode(image.index.superblock, processor)

    def reader(self, client_uuid: bytes) -> Reader:
        """Of one client; it has no views if the tape knows no such client."""
        return Reader(self._kv, self.disk, self._superblock, self._processor, client_uuid)

    async def release(self) -> None:
        """Stop reading, close the catalog and remove it. The drive stays open."""
        await self.image.close()
        self._kv.close()
        clear_directory(self._directory)


async def mount(image, machine, directory: str, progress=None) -> MountedTape:
    """Load the catalog of a TapeImage into a new database in `directory` (emptied first; on the volume or in memory).

    `progress(entries)` counts. Raises MediumError or CorruptData if the catalog is lost, NoSpace.
    """
    clear_directory(directory)
    index = image.index
    map_bytes = max(_MAP_BYTES_MIN, _MAP_FACTOR * index.catalog_bytes)
    kv = machine.open_kv(directory, catalog.TABLES, catalog.DUPLICATES, map_bytes=map_bytes)
    frames = FrameReader(image, machine.processor, index.catalog_offset, index.catalog_offset + index.catalog_bytes)
    try:
        await load_catalog(frames, kv, catalog.TABLES, progress)
        return MountedTape(image, kv, machine.processor, directory)
    except BaseException:
        kv.close()
        clear_directory(directory)
        raise


def clear_directory(directory: str) -> None:
    """Remove the files of a directory that may not exist; what is left of an earlier mount."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        os.remove(directory + "/" + name)
