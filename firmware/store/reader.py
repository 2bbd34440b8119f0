"""Reads one client's views back, from the disk or a mounted tape: nodes, file objects, chunks, fingerprints.

What it gives is checked against the records' CRC; what cannot be read is reported and the rest goes on. A client is
given only what its own trees may refer to. Used by sessions (firmware/net) through `sink`, an object with

    async data(body)                       a pack to send; valid until the call returns
    async lost(row, first, count, text)    items of a row of the request that cannot be given
    async prints(last, rows)
"""

import struct

from firmware.formats import limits, message
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from firmware.store.giving import Giving, Part
from firmware.store.packs import Buffers, Packs
from hal.errors import HalError

_PRINT_ROWS = 16384


class _Lost(Exception):
    """This row of the request cannot be given."""


class Reader:
    """`segments` (firmware.store.segments) is pinned during each call; None over a tape, where nothing changes.
    `cache` (firmware.store.pack_cache) is the store's, for all its readers."""

    def __init__(self, kv, disk, superblock, processor, client_uuid: bytes, segments=None, cache=None):
        self._kv = kv
        self._packs = Packs(disk, superblock, processor, cache)
        self._processor = processor
        self._segments = segments
        self._buffers = Buffers()
        self._covered = (None, [])  # a file object's (group, index), and what its runs cover
        self._client = self._find_client(client_uuid)

    def _find_client(self, uuid: bytes) -> int:
        txn = self._kv.begin()
        try:
            for client, row in Catalog(txn).clients():
                if row.uuid == uuid:
                    return client
            return 0
        finally:
            txn.abort()

    def views(self, after: int = 0, limit: int = 4096) -> list:
        """wire.VIEW tuples with a number above `after`, at most `limit`."""
        txn = self._kv.begin()
        try:
            return list_views(Catalog(txn), self._client, after, limit)
        finally:
            txn.abort()

    async def _pinned(self, work):
        pin = self._segments.pin() if self._segments else None
        txn = self._kv.begin()
        try:
            return await work(Catalog(txn))
        finally:
            txn.abort()
            if pin is not None:
                self._segments.unpin(pin)

    # -- items

    def owned(self, groups: list) -> list:
        """[whether the BDF is this client's] for each of `groups`."""
        txn = self._kv.begin()
        try:
            catalog = Catalog(txn)
            return [catalog.owned(self._client, group) for group in groups]
        finally:
            txn.abort()

    async def items(self, kind: int, stretches: list, sink) -> int:
        """Send the items of `stretches` (wire.STRETCH rows) in order; gives how many were lost."""
        return await self._pinned(lambda catalog: self._items(catalog, kind, stretches, sink))

    async def _items(self, catalog, kind: int, stretches: list, sink) -> int:
        giving = Giving(kind, self._packs, self._buffers, self._processor, sink)
        self._covered = (None, [])
        try:
            for row, stretch in enumerate(stretches):
                group, first, count = stretch[:3]
                if await self._may_read(catalog, kind, stretch):
                    await self._stretch(catalog, kind, row, group, first, count, giving)
                else:
                    await giving.lose(row, 0, count, _none(kind, group, first))
            await giving.finish()
        finally:
            giving.cancel()
        return giving.lost

    async def _stretch(self, catalog, kind: int, row: int, group: int, first: int, count: int, giving) -> None:
        at, end = first, first + count
        entries = catalog.each_pack(kind, group, first, end)
        try:
            for pack_first, pack_row in entries:
                if pack_first > at:
                    await giving.lose(row, at - first, pack_first - at, _none(kind, group, at))
                    at = pack_first
                stop = min(end, pack_first + pack_row.count)
                await giving.want(Part(group, pack_first, at - pack_first, stop - pack_first, row, at - first), pack_row)
                at = stop
        finally:
            entries.close()
        if at < end:
            await giving.lose(row, at - first, end - at, _none(kind, group, at))

    async def _may_read(self, catalog, kind: int, stretch) -> bool:
        """Whether all of a wire.STRETCH is the client's own, or proved to be held by it."""
        group, first, count, file_group, file_index = stretch
        if first + count > 1 << 32:
            return False
        if catalog.owned(self._client, group):
            return True
        if kind == packs.FILES and count <= limits.REF_ROWS:
            return all([catalog.granted(self._client, kind, group, index) for index in range(first, first + count)])
        if kind == packs.DATA and file_group:
            try:
                spans = await self._spans(catalog, file_group, file_index)
            except _Lost:
                return False
            return runs.within((group, first, count), spans)
        return False

    async def _spans(self, catalog, group: int, index: int) -> list:
        """What a file object's runs cover; that of the last one is kept: rows about one file follow each other. Raises _Lost."""
        if self._covered[0] != (group, index):
            file = await self._file(catalog, group, index)
            self._covered = ((group, index), runs.joined(file.runs))
        return self._covered[1]

    async def _file(self, catalog, group: int, index: int):
        """FILE tuple of a file object that the client may read. Raises _Lost."""
        text = _none(packs.FILES, group, index)
        if not catalog.granted(self._client, packs.FILES, group, index):
            raise _Lost(text)
        found = catalog.pack_of(packs.FILES, group, index)
        if found is None:
            raise _Lost(text)
        try:
            pack = await self._packs.load(found[1])
            return intake.parse_file(pack.item(index - found[0]))
        except HalError as error:
            raise _Lost("%s: %s" % (text, error))
        except Refusal as error:
            raise _Lost(error.text)

    # -- fingerprints

    async def prints(self, group: int, index: int, sink) -> None:
        """Send the fingerprint set of a file object. Raises Refusal NOT_FOUND, CORRUPT."""
        await self._pinned(lambda catalog: self._prints(catalog, group, index, sink))

    async def _prints(self, catalog, group: int, index: int, sink) -> None:
        rows = []
        try:
            file = await self._file(catalog, group, index)
            for _, _, pack_row, start, end in runs.pieces(catalog, file.runs):
                _, body = await self._packs.table(pack_row)
                rows.extend(_print_rows(body, start, end))
                if len(rows) >= _PRINT_ROWS:
                    await sink.prints(0, rows)
                    rows = []
        except _Lost as error:
            raise Refusal("NOT_FOUND", str(error))
        except HalError as error:
            raise Refusal("CORRUPT", str(error))
        await sink.prints(1, rows)


def _print_rows(body, start: int, end: int) -> list:
    sums, size = packs.sums(body, start, end), packs.SUM.size
    prints = [struct.unpack_from(">I8s", sums, at) for at in range(0, (end - start) * size, size)]
    return [(length, weak, strong) for length, (weak, strong) in zip(packs.lengths(body, start, end), prints)]


def _none(kind: int, group: int, index: int) -> str:
    """What is said of an item that is not there, and of one that this client may not see."""
    return "no %s %d of BDF %d" % (packs.KIND_NAMES[kind], index, group)


def list_views(catalog, client: int, after: int, limit: int) -> list:
    """wire.VIEW tuples."""
    found = []
    views = catalog.views(client, after)
    for view, row in views:
        found.append(
            message.VIEW.tuple(
                view,
                row.root_group,
                row.root_index,
                row.time_ns,
                row.files,
                row.bytes,
                row.stored_bytes,
                row.label,
                row.kind,
                row.attic_group,
                row.attic_index,
            )
        )
        if len(found) == limit:
            views.close()
            break
    return found
