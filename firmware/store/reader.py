"""Reads one client's views back, from the disk or a mounted tape: nodes, file objects, chunks, fingerprints.

What it gives is checked against the records' CRC; what cannot be read is reported row by row and the rest goes on. A client is
given only what its own trees may refer to. Used by sessions (firmware/net) through `sink`, an object with

    async data(body)         a pack to send; valid until the call returns
    async lost(row, text)    row of the request that cannot be given
    async prints(last, rows)
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.formats import limits, message
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from firmware.store.packs import Buffers, Packs, decode
from hal.errors import CorruptData, HalError

_AHEAD = 4  # packs being read while one is sent
_PRINT_ROWS = 16384


class _Lost(Exception):
    """This row of the request cannot be given."""


class Reader:
    """`segments` (firmware.store.segments) is pinned during each call; None over a tape, where nothing changes."""

    def __init__(self, kv, disk, superblock, processor, client_uuid: bytes, segments=None):
        self._kv = kv
        self._packs = Packs(disk, superblock, processor)
        self._processor = processor
        self._segments = segments
        self._buffers = Buffers()
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

    # -- file objects and nodes

    async def items(self, kind: int, refs: list, sink) -> int:
        """Send file objects or nodes in the order of `refs` [(group, index)]; gives how many were lost."""
        if kind not in (packs.FILES, packs.NODES):
            raise Refusal("PROTOCOL", "ITEMS_GET.kind: expected 1 or 2, got %d" % kind)
        return await self._pinned(lambda catalog: self._items(catalog, kind, refs, sink))

    async def _items(self, catalog, kind: int, refs: list, sink) -> int:
        out = _Outgoing(kind, self._processor, sink)
        lost = 0
        for row, (group, index) in enumerate(refs):
            try:
                pack, position = await self._item(catalog, kind, group, index)
            except _Lost as error:
                await out.send()
                await sink.lost(row, str(error))
                lost += 1
                continue
            await out.add(pack, position)
        await out.send()
        return lost

    async def _item(self, catalog, kind: int, group: int, index: int):
        """(decoded pack, position in it). Raises _Lost."""
        name = "%s %d of BDF %d" % (packs.KIND_NAMES[kind], index, group)
        found = None
        if catalog.references(layout.item_key(kind, group, index)) >= 0 and catalog.granted(self._client, kind, group, index):
            found = catalog.pack_of(kind, group, index)
        if found is None:
            raise _Lost("no %s" % name)
        try:
            return await self._packs.load(found[1]), index - found[0]
        except HalError as error:
            raise _Lost("%s: %s" % (name, error))

    async def _file(self, catalog, group: int, index: int):
        pack, position = await self._item(catalog, packs.FILES, group, index)
        try:
            return intake.parse_file(pack.item(position))
        except Refusal as error:
            raise _Lost(error.text)

    # -- chunks

    async def read(self, spans: list, sink) -> int:
        """Send the chunks of `spans` [(group, index, first, count)] in order; gives how many rows were lost."""
        return await self._pinned(lambda catalog: self._read(catalog, spans, sink))

    async def _read(self, catalog, spans: list, sink) -> int:
        job = _Reading(self._packs, self._buffers, self._processor, sink)
        try:
            for row, (group, index, first, count) in enumerate(spans):
                try:
                    file = await self._file(catalog, group, index)
                    for piece in _span_pieces(catalog, file, first, count, row):
                        await job.want(piece)
                except (_Lost, CorruptData) as error:
                    await job.finish()
                    await job.lose(row, str(error))
            await job.finish()
        finally:
            job.cancel()
        return len(job.lost)

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
    rows = []
    for position in range(start, end):
        length, weak, digest = packs.ITEM.unpack_from(body, packs.HEADER.size + position * packs.ITEM.size)[0]
        rows.append((length, weak, digest[:8]))
    return rows


def _renamed(body):
    """The stored pack with group and first 0, as DATA wants it; the caller owns `body`."""
    header = packs.HEADER.unpack_from(body)[0]
    packs.HEADER.pack_into(body, 0, header.kind, header.codec, header.count, 0, 0, header.raw_bytes, header.stored_bytes)
    return body


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


def _span_pieces(catalog, file, first: int, count: int, row: int):
    """Generator of the _Pieces of chunks first .. first+count-1 of a file. Raises CorruptData where the catalog has a gap."""
    left = count
    for group, pack_first, pack_row, start, end in runs.pieces(catalog, file.runs):
        skipped = min(first, end - start)
        first -= skipped
        start += skipped
        end = min(end, start + left)
        if start < end:
            left -= end - start
            yield _Piece(group, pack_first, pack_row, start, end, row)
        if left == 0:
            return


class _Piece:
    """Chunks start .. end-1 of one pack, wanted next. `rows` is [(row of the request, its first chunk here)]."""

    def __init__(self, group: int, first: int, pack_row, start: int, end: int, row: int):
        self.key = (group, first)
        self.pack_row = pack_row
        self.start = start
        self.end = end
        self.rows = [(row, start)]

    def whole(self) -> bool:
        return self.start == 0 and self.end == self.pack_row.count

    def take(self, other) -> bool:
        """Append what follows directly in the same pack."""
        if other.key != self.key or other.start != self.end:
            return False
        self.end = other.end
        if other.rows[0][0] != self.rows[-1][0]:
            self.rows.append(other.rows[0])
        return True

    def drop(self, lost: dict) -> None:
        """Leave out leading rows that are lost already."""
        while self.rows and self.rows[0][0] in lost:
            self.rows.pop(0)
            self.start = self.rows[0][1] if self.rows else self.end


class _Reading:
    """The pieces of one READ in order: neighbours joined, packs read ahead, rows lost once."""

    def __init__(self, loader, buffers, processor, sink):
        self._loader = loader
        self._buffers = buffers
        self._processor = processor
        self._sink = sink
        self._last = None
        self._waiting = []
        self.lost = {}

    async def want(self, piece) -> None:
        if self._last is not None and self._last.take(piece):
            return
        last, self._last = self._last, piece
        if last is not None:
            await self._start(last)

    async def _start(self, piece) -> None:
        self._waiting.append((piece, asyncio.create_task(self._load(piece.pack_row))))
        if len(self._waiting) > _AHEAD:
            await self._give()

    async def _load(self, pack_row):
        """The stored pack, or the error: a task that fails before it is awaited would be reported by MicroPython."""
        try:
            return await self._loader.stored(pack_row, self._buffers)
        except HalError as error:
            return error

    async def finish(self) -> None:
        """Everything wanted so far is given."""
        last, self._last = self._last, None
        if last is not None:
            await self._start(last)
        while self._waiting:
            await self._give()

    async def _give(self) -> None:
        piece, task = self._waiting.pop(0)
        found = await task
        try:
            if isinstance(found, HalError):
                raise found
            await self._send(piece, found)
        except HalError as error:
            for row, _ in piece.rows:
                await self.lose(row, str(error))
        self._buffers.give_back()

    async def _send(self, piece, body) -> None:
        piece.drop(self.lost)
        if piece.whole():
            await self._sink.data(_renamed(body))
            return
        pack = decode(body, self._processor)
        out = _Outgoing(packs.DATA, self._processor, self._sink)
        for position in range(piece.start, piece.end):
            await out.add(pack, position)
        await out.send()

    async def lose(self, row: int, text: str) -> None:
        if row not in self.lost:
            self.lost[row] = True
            await self._sink.lost(row, text)

    def cancel(self) -> None:
        for _, task in self._waiting:
            task.cancel()


class _Outgoing:
    """Collects items for DATA frames of about PACK_AIM_BYTES."""

    def __init__(self, kind: int, processor, sink):
        self._kind = kind
        self._processor = processor
        self._sink = sink
        self._items = []
        self._bytes = 0

    async def add(self, pack, position: int) -> None:
        item = pack.item(position)
        if self._items and (self._bytes + len(item) > limits.PACK_AIM_BYTES or len(self._items) == limits.PACK_ITEMS):
            await self.send()
        at = packs.HEADER.size + position * packs.ITEM.size
        self._items.append((pack.body[at : at + packs.ITEM.size], item))
        self._bytes += len(item)

    async def send(self) -> None:
        if self._items:
            await self._sink.data(self._assemble())
            self._items, self._bytes = [], 0

    def _assemble(self):
        """Header, table, and the payload compressed into its place, or copied there if it does not shrink."""
        front = packs.HEADER.size + len(self._items) * packs.ITEM.size
        body = memoryview(bytearray(front + self._bytes))
        raw = memoryview(bytearray(self._bytes))
        at, fill = packs.HEADER.size, 0
        for row, item in self._items:
            body[at : at + packs.ITEM.size] = row
            raw[fill : fill + len(item)] = item
            at += packs.ITEM.size
            fill += len(item)
        stored = self._processor.compress(raw, body[front:]) if fill else 0
        codec = packs.ZSTD if stored else packs.RAW
        if not stored:
            body[front:] = raw
            stored = fill
        packs.HEADER.pack_into(body, 0, self._kind, codec, len(self._items), 0, 0, fill, stored)
        return body[: front + stored]
