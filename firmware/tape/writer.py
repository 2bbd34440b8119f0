"""Writes one consistent image of the store onto a tape: labels, image, index, end. Used by the tape service.

The first thing written is the label of the new image, so a copy that is cut anywhere leaves a tape that says it is unfinished.
"""

from firmware.formats import disk as disk_form
from firmware.formats import tape as form
from firmware.tape.catalog import write_catalog
from firmware.tape.coded import CodedWriter
from firmware.tape.geometry import INDEX as INDEX_GEOMETRY
from firmware.tape.geometry import Geometry
from firmware.tape.index import index_blocks, pack_segments
from firmware.tape.label import write_end, write_label
from firmware.tape.source import copy_segments, rounded
from firmware.tape.spool import Spool
from hal.errors import BusError, EndOfMedium, Timeout, UnitAttention

IMAGE_KINDS = (form.DATA_BLOCK, form.PARITY_BLOCK)
INDEX_KINDS = (form.INDEX_BLOCK, form.INDEX_PARITY)


def least_bytes(snapshot) -> int:
    """Bytes of image stream that `snapshot` makes at least: everything but the catalog."""
    return sum([rounded(used_bytes) for _, used_bytes in snapshot.segments]) + rounded(len(snapshot.superblock))


class ImageWriter:
    """One copy. `tape` holds a medium that may be overwritten; `label` is made by `firmware.tape.label.for_image`.

    `progress(done_bytes)` is called as the image stream grows. Nothing of `snapshot` is released.
    """

    def __init__(self, tape, processor, clock, snapshot, label, progress=None):
        self._tape = tape
        self._processor = processor
        self._clock = clock
        self._snapshot = snapshot
        self._label = label
        self._progress = progress or _ignore
        self._geometry = Geometry(label.k, label.m, label.depth)
        self._superblock = disk_form.SUPERBLOCK.unpack_from(snapshot.superblock)[0]
        self._image = None
        self._writers = []
        self.early = False

    async def run(self):
        """Write it all; gives the END record. Durable on return.

        Raises EndOfMedium (says how much was needed and how much fitted), WriteProtected, MediumError, BusError, Timeout,
        NotReady; the tape is then unfinished and says so.
        """
        try:
            return await self._run()
        except EndOfMedium as error:
            raise EndOfMedium(self._too_small(), error.sense)
        except (UnitAttention, BusError, Timeout) as error:
            raise BusError("tape %s is unfinished: %s; start the copy again" % (self._label.name, error), error.sense)

    async def _run(self):
        await write_label(self._tape, self._processor, self._label)
        spool = Spool(self._tape, self._label.block_bytes)
        try:
            raw = await self._write_image(spool)
            index_file = await self._write_index(spool, raw)
        finally:
            await spool.close()
            for writer in self._writers:
                writer.close()
        image = self._image
        end = form.END.tuple(
            form.VERSION, image.blocks, index_file.blocks, image.stream_bytes, image.stream_crc, len(raw),
            self._processor.blake2b(raw), self._clock.now_ns(), 0, form.LABEL.pack(*self._label),
        )  # fmt: skip
        await write_end(self._tape, self._processor, self._label, end)
        return end

    def _coded(self, spool, geometry, kinds: tuple, total_blocks: int = 0) -> CodedWriter:
        label = self._label
        writer = CodedWriter(
            spool, self._processor, geometry, label.block_bytes, label.image, label.member, kinds, total_blocks
        )
        self._writers.append(writer)
        return writer

    async def _write_image(self, spool) -> bytes:
        """File 1; gives the index stream."""
        snapshot, superblock = self._snapshot, self._superblock
        writer = self._image = self._coded(spool, self._geometry, IMAGE_KINDS)
        segments = sorted(snapshot.segments)
        start = rounded(form.IMAGE.size + len(snapshot.superblock) + len(segments) * form.SEGMENT.size)
        rows, catalog_offset = pack_segments(segments, start, rounded)
        numbers = (disk_form.SUPERBLOCK_BYTES, superblock.segment_bytes, len(segments))
        await writer.append(form.IMAGE.pack(form.VERSION, len(snapshot.superblock), *(numbers + (catalog_offset,))))
        await writer.append(snapshot.superblock)
        await writer.append(rows)
        await writer.pad(form.ALIGN)
        await copy_segments(snapshot, self._sink)
        entries = await write_catalog(snapshot.dump(), self._processor, writer)
        catalog_bytes = writer.stream_bytes - catalog_offset
        await self._close_file(spool, writer)
        counts = (writer.stream_bytes, writer.data_blocks, writer.blocks, writer.stream_crc)
        where = (catalog_offset, catalog_bytes, 0, entries)
        copies = (form.LABEL.pack(*self._label), snapshot.superblock)
        return form.INDEX.pack(form.VERSION, *(counts + where + numbers + copies)) + bytes(rows)

    async def _sink(self, view) -> None:
        await self._image.append(view)
        self._progress(self._image.stream_bytes)

    async def _write_index(self, spool, raw: bytes) -> CodedWriter:
        blocks = index_blocks(len(raw), self._label.block_bytes)
        writer = self._coded(spool, INDEX_GEOMETRY, INDEX_KINDS, blocks)
        await writer.append(raw)
        await self._close_file(spool, writer)
        return writer

    async def _close_file(self, spool, writer) -> None:
        await writer.finish()
        await self._tape.write_filemarks(1)
        self.early = spool.early

    def _too_small(self) -> str:
        needed = least_bytes(self._snapshot)
        data = self._image.stream_bytes if self._image else 0
        share = 1 + self._geometry.m / self._geometry.k
        return "tape %s is too small: the image needs at least %d MB, the tape was full after %d MB; it is unfinished now, take a larger one" % (
            self._label.name, needed * share // 1000000, data * share // 1000000)  # fmt: skip


def _ignore(done_bytes: int) -> None:
    pass
