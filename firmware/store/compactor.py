"""Moves what is left in sparsely used segments into the merge area, so that they become free. Driven by keep.py.

Order of every move: read the pack, append it elsewhere, flush, one catalog transaction that says where it lies now. A power cut
before the transaction leaves the old place, after it the new one. Readers and tape snapshots pin segments (segments.py), so the
old place is not overwritten under them.
"""

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.store import log as log_
from firmware.store.catalog import Catalog
from firmware.store.packs import Buffers
from firmware.store.view_record import commit_record
from hal.errors import HalError, NoSpace
from hal.loop import sleep_ms
from hal.native import aligned

_LAST = 1  # free segments that even this leaves, for records of deletions and commits
_BATCH_PACKS = 1024  # moved in one transaction
_BATCH_BYTES = 8 << 20
_WAITING = 8  # segments freed but pinned: more would only fill the disk
_SCAN = 512  # rows of a table looked at in one go
_STUCK = 1024
MOST = 75  # percent: heads and footers of the smallest packs take the rest, which moving does not win back


class Compactor:
    """`step` empties one segment. `moved_bytes` and `freed` count since the start."""

    def __init__(self, store):
        self._store = store
        self._buffer = None
        self._stuck = {}  # segment -> live bytes when it could not be emptied: damage, which is the scrub's business
        self.moved_bytes = 0
        self.freed = 0

    async def step(self, percent: int) -> bool:
        """Empty the segment with the least in use, if that is no more than `percent` of what was written to it, at most MOST.

        False: there is none, or no room.
        """
        segments = self._store.segments
        if segments.waiting_count() >= _WAITING:
            return False
        victim = await self._victim(percent)
        if victim is None:
            return False
        try:
            await self._empty(victim[0], victim[1].tail)
        except NoSpace:
            return False
        left = self._row(victim[0])
        if left is not None and left.live and left.tail == victim[1].tail:
            if len(self._stuck) >= _STUCK:
                self._stuck = {}
            self._stuck[victim[0]] = left.live
        else:
            self.freed += 1
        return True

    def _row(self, segment: int):
        txn = self._store.kv.begin()
        value = txn.get(layout.SEGMENTS, layout.number_key(segment))
        txn.abort()
        return layout.SEGMENT.unpack(value) if value else None

    async def _victim(self, percent: int):
        """(segment, row)"""
        best = []

        def look(key, value):
            row = layout.SEGMENT.unpack(value)
            segment = int.from_bytes(key, "big")
            if row.state != layout.SEALED or row.live * 100 > row.tail * percent or self._stuck.get(segment) == row.live:
                return
            if (not best or row.live < best[0][1].live) and self._store.segments.is_settled(segment):
                best[:] = [(segment, row)]

        await self._rows(layout.SEGMENTS, look)
        return best[0] if best else None

    async def _rows(self, table: str, look) -> None:
        """Call `look(key, value)` for a whole table, in slices."""
        txn = self._store.kv.begin()
        try:
            seen = 0
            for key, value in txn.scan(table):
                look(key, value)
                seen += 1
                if seen % _SCAN == 0:
                    await sleep_ms(0)
        finally:
            txn.abort()

    async def _empty(self, segment: int, tail: int) -> None:
        store = self._store
        if self._buffer is None:
            self._buffer = aligned(2 * disk_format.BLOCK)
        pin = store.segments.pin()
        try:
            rows = await log_.scan(store.disk, store.superblock, store.processor, segment, tail, self._buffer)
            places = [(row[1], row[5], row[6], row[3]) for row in rows if row[0] == disk_format.PACK]
            for at in range(0, len(places), _BATCH_PACKS):
                await self._move(segment, places[at : at + _BATCH_PACKS])
        finally:
            store.segments.unpin(pin)
        await self._move_records(segment)

    # -- packs

    async def _move(self, segment: int, places: list) -> None:
        """Raises NoSpace after what fitted was moved."""
        at = 0
        while at < len(places):
            moved, at, failure = await self._copy(segment, places, at)
            if moved:
                await self._store.apply(
                    lambda catalog, live: self._repoint(catalog, live, segment, moved), None, [row[4] for row in moved]
                )
            if failure is not None:
                raise failure

    async def _copy(self, segment: int, places: list, at: int):
        """([(kind, group, first, old row, new segment, offset)], next place, NoSpace or None)"""
        store = self._store
        buffers = Buffers()
        moved = []
        size = 0
        while at < len(places) and size < _BATCH_BYTES:
            kind, group, first, offset = places[at]
            row = self._pack(kind, group, first)
            if row is not None and row.segment == segment and row.offset == offset:
                try:
                    body = await store.packs.stored(row, buffers)
                except HalError:
                    at += 1
                    continue  # it stays where it is
                try:
                    place = await store.log.append(layout.MERGE, disk_format.PACK, body, (kind, row.count, group, first), _LAST)
                except NoSpace as error:
                    return moved, at, error
                buffers.give_back()
                moved.append((kind, group, first, row, place[0], place[1]))
                size += place[2]
            at += 1
        self.moved_bytes += size
        return moved, at, None

    def _pack(self, kind: int, group: int, first: int):
        txn = self._store.kv.begin()
        value = txn.get(layout.PACKS, layout.item_key(kind, group, first))
        txn.abort()
        return layout.PACK.unpack(value) if value else None

    def _repoint(self, catalog, live: dict, segment: int, moved: list) -> None:
        for kind, group, first, old, new_segment, offset in moved:
            value = catalog.txn.get(layout.PACKS, layout.item_key(kind, group, first))
            row = layout.PACK.unpack(value) if value else None
            if row is None or (row.segment, row.offset) != (old.segment, old.offset):
                continue  # freed meanwhile: the copy is garbage
            catalog.put_pack(kind, group, first, (new_segment, offset) + tuple(row[2:]))
            size = log_.record_bytes(row.length)
            live[new_segment] = live.get(new_segment, 0) + size
            live[segment] = live.get(segment, 0) - size

    # -- records of views and clients: written anew from the catalog

    async def _move_records(self, segment: int) -> None:
        row = self._row(segment)
        if row is None or not row.live:
            return
        views = []

        def look(key, value):
            if layout.VIEW.unpack(value).segment == segment:
                views.append(key)

        await self._rows(layout.VIEWS, look)
        for at in range(0, len(views), _BATCH_PACKS):
            await self._move_views(segment, views[at : at + _BATCH_PACKS])
        for client in [client.id for client in self._store.clients() if self._client_lies_in(client.id, segment)]:
            await self._store.roll.rewrite(client)
        if self._roster_lies_in(segment):
            await self._store.roll.rewrite_roster()

    def _client_lies_in(self, client: int, segment: int) -> bool:
        txn = self._store.kv.begin()
        row = Catalog(txn).client(client)
        txn.abort()
        return row is not None and row.segment == segment and row.length > 0

    def _roster_lies_in(self, segment: int) -> bool:
        txn = self._store.kv.begin()
        value = txn.get(layout.META, layout.META_ROSTER)
        txn.abort()
        return value is not None and layout.PLACE.unpack(value).segment == segment

    async def _move_views(self, segment: int, keys: list) -> None:
        txn = self._store.kv.begin()
        rows = [(key, txn.get(layout.VIEWS, key)) for key in keys]
        txn.abort()
        moved = []
        for key, value in rows:
            if value is not None:
                client, view = int.from_bytes(key[:4], "big"), int.from_bytes(key[4:], "big")
                body = commit_record(client, view, layout.VIEW.unpack(value))
                moved.append((key, value) + await self._store.log.append(layout.MERGE, disk_format.COMMIT, body, reserve=0))
        await self._store.apply(lambda catalog, live: self._replace(catalog, live, moved), None, [row[2] for row in moved])

    def _replace(self, catalog, live: dict, moved: list) -> None:
        for key, value, segment, _, taken in moved:
            if catalog.txn.get(layout.VIEWS, key) != value:
                continue  # deleted or merged meanwhile
            row = layout.VIEW.unpack(value)
            catalog.txn.put(layout.VIEWS, key, layout.VIEW.pack(*(tuple(row[:7]) + (segment, taken) + tuple(row[9:]))))
            live[row.segment] = live.get(row.segment, 0) - row.length
            live[segment] = live.get(segment, 0) + taken
