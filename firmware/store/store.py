"""The backup store (BSM): clients, views and their data on the raw region of the disk, found through the catalog.

Order of every change: records into segments -> flush -> catalog transaction -> acknowledged. Made by firmware/appliance.py; used
by sessions (firmware/net), the tape (firmware/tape) and the console.
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import limits
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import log as log_
from firmware.store import superblock as super_
from firmware.store.backup import Backup
from firmware.store.catalog import Catalog
from firmware.store.clients import Clients
from firmware.store.collector import Collector
from firmware.store.compactor import Compactor
from firmware.store.heal_parts import Parts
from firmware.store.holds import Holds
from firmware.store.merge import Merger
from firmware.store.merge_writer import abandon_cut
from firmware.store.packs import Packs
from firmware.store.reader import Reader, list_views
from firmware.store.rfe_budget import Budget
from firmware.store.segments import Segments
from firmware.store.snapshot import Snapshot
from firmware.store.tables import Tables
from hal.errors import CorruptData, NoSpace
from hal.native import aligned

_RESERVE_DIVISOR = 50  # a fiftieth of the segments is kept for commits and merges


class Store:
    """One open store. Build it with `Store.open`, end it with `close`."""

    TABLES = layout.TABLES
    DUPLICATES = layout.DUPLICATES

    def __init__(self, disk, kv, processor, clock, superblock):
        self.disk = disk
        self.kv = kv
        self.processor = processor
        self.clock = clock
        self.superblock = superblock
        self.uuid = superblock.uuid
        self.raw_buffer = bytearray(limits.PACK_RAW_BYTES)
        self.holds = Holds()
        self.budget = Budget()
        self.parts = Parts()
        self.running = {}
        self.segments = Segments(superblock.segments, self._reused)
        self.packs = Packs(disk, superblock, processor)
        self.roll = Clients(self)
        self.collector = Collector(self)
        self.compactor = Compactor(self)
        self.merger = Merger(self)
        self.log = None
        self.tables = None
        self._lock = asyncio.Lock()

    @staticmethod
    async def format(disk, kv, processor, uuid: bytes, now_ns: int, segment_bytes: int = 0) -> None:
        """A new, empty store; `kv` must be empty. Durable on return. Raises NoSpace if the disk is too small."""
        superblock = super_.describe(uuid, disk.size_bytes, now_ns, segment_bytes)
        await super_.write(disk, superblock, processor)
        txn = kv.begin(write=True)
        txn.put(layout.META, layout.META_UUID, uuid)
        txn.commit()

    @staticmethod
    async def open(disk, kv, processor, clock):
        """The store as its last commit left it. Raises CorruptData if region and catalog do not belong together."""
        superblock = await super_.read(disk, processor)
        store = Store(disk, kv, processor, clock, superblock)
        txn = kv.begin()
        uuid = txn.get(layout.META, layout.META_UUID)
        txn.abort()
        if uuid != superblock.uuid:
            raise CorruptData(
                "catalog and disk region do not belong together: expected store %s, got %s"
                % (superblock.uuid.hex(), uuid.hex() if uuid else "an empty catalog")
            )
        await store._start()
        return store

    async def _start(self) -> None:
        txn = self.kv.begin(write=True)
        epoch = Catalog(txn).next_number(layout.META_EPOCH)
        abandon_cut(Catalog(txn))
        heads = self.segments.load(txn)
        txn.commit()
        self.log = log_.Log(self.disk, self.superblock, self.processor, self.segments, epoch << disk_format.SEQUENCE_BITS)
        self.log.reserve = max(2, self.superblock.segments // _RESERVE_DIVISOR)
        self.tables = Tables(self.log, self.packs)
        buffer = aligned(2 * disk_format.BLOCK)
        for segment, area, tail in heads:
            rows = await log_.scan(self.disk, self.superblock, self.processor, segment, tail, buffer)
            self.log.resume(segment, area, tail, rows)
        await self.log.mark()
        self.collector.wake()

    async def close(self) -> None:
        """Running backups are left as by a cut connection."""
        for backup in [backup for backup in self.running.values() if backup is not None]:
            await backup.leave()
        async with self._lock:  # one that is being left already
            self.kv.close()

    # -- changes

    async def apply(self, work, change=None, records=()) -> None:
        """Flush, then run `work(catalog, live_bytes)` in one write transaction, durable on return.

        `change` is what it applies, `records` the segments of further records it counts. Raises Refusal FULL; then nothing changed
        and `change` is dropped.
        """
        committed = False
        try:
            async with self._lock:
                await self.log.flush()
                self._transact(work, change, records)
                committed = True
        except NoSpace as error:
            raise Refusal("FULL", "the catalog has no room: %s" % error)
        finally:
            if change is not None:
                self._release(change, not committed)
            if not committed:
                self._settle(records)

    def _transact(self, work, change, records) -> None:
        txn = self.kv.begin(write=True)
        live = {}
        settled = [pack[3] for pack in change.packs] if change is not None else []
        self._settle(settled)
        self._settle(records)
        try:
            work(Catalog(txn), live)
            free = self.segments.apply(txn, live)
        except Exception:
            txn.abort()
            self._unsettle(settled)
            self._unsettle(records)
            raise
        try:
            txn.commit()
        except Exception:
            self._unsettle(settled)
            self._unsettle(records)
            raise
        self.segments.applied(free)
        if free:
            self.packs.cache.forget()
            self.tables.forget(free)

    def _reused(self, segment: int) -> None:
        """Who had the segment pinned may have read from it after it was freed."""
        self.packs.cache.forget()
        if self.tables is not None:
            self.tables.forget((segment,))

    def _settle(self, segments) -> None:
        for segment in segments:
            self.segments.settled(segment)

    def _unsettle(self, segments) -> None:
        for segment in segments:
            self.segments.appended(segment)

    def _release(self, change, unsettled: bool) -> None:
        for item in change.references:
            self.holds.drop(item)
        if unsettled:
            self._settle([pack[3] for pack in change.packs])

    def drop_change(self, change) -> None:
        """Forget a change that will not be applied."""
        self._release(change, True)

    # -- lookups

    def find_pack(self, kind: int, group: int, index: int):
        """(first, row) of the pack that holds an item, or None."""
        txn = self.kv.begin()
        try:
            return Catalog(txn).pack_of(kind, group, index)
        finally:
            txn.abort()

    def views(self, client: int, after: int = 0, limit: int = 4096) -> list:
        """wire.VIEW tuples of a client."""
        txn = self.kv.begin()
        try:
            return list_views(Catalog(txn), client, after, limit)
        finally:
            txn.abort()

    def reader(self, client_uuid: bytes):
        return Reader(self.kv, self.disk, self.superblock, self.processor, client_uuid, self.segments, self.packs.cache)

    def snapshot(self):
        """The present moment, pinned; release it."""
        return Snapshot(self.kv, self.disk, self.superblock, self.processor, self.segments)

    @staticmethod
    def record_bytes(length: int) -> int:
        """Bytes on the disk of a record with a body of `length`."""
        return log_.record_bytes(length)

    def usage(self) -> dict:
        """Figures for `show disk`: counts and bytes."""
        txn = self.kv.begin()
        used = live = segments = views = clients = 0
        for _, value in txn.scan(layout.SEGMENTS):
            row = layout.SEGMENT.unpack(value)
            segments += 1
            used += row.tail
            live += row.live
        for _ in txn.scan(layout.VIEWS):
            views += 1
        for _ in txn.scan(layout.CLIENTS):
            clients += 1
        txn.abort()
        size = self.superblock.segment_bytes
        return {
            "segments": self.superblock.segments,
            "free_segments": self.segments.free_count(),
            "segment_bytes": size,
            "capacity_bytes": self.superblock.segments * size,
            "used_bytes": used,
            "live_bytes": live,
            "reserve_bytes": self.log.reserve * size,
            "clients": clients,
            "views": views,
        }

    # -- clients (firmware/store/clients.py)

    def clients(self) -> list:
        return self.roll.all()

    def client_by_uuid(self, uuid: bytes):
        return self.roll.by_uuid(uuid)

    def client_by_name(self, name: str):
        return self.roll.by_name(name)

    async def add_client(self, name: str):
        return await self.roll.add(name)

    async def set_token(self, client: int, token_hash: bytes) -> None:
        await self.roll.set_token(client, token_hash)

    async def remove_client(self, client: int) -> None:
        await self.roll.remove(client)

    # -- backups and views

    async def begin(self, client: int):
        """The `Backup` of a client: a new one, or the one that was cut. Raises Refusal BUSY, FULL, NOT_FOUND."""
        if client in self.running:
            raise Refusal("BUSY", "a backup of this client is running", 5)
        if self.segments.free_count() <= self.log.reserve:
            raise Refusal(
                "FULL",
                "the disk is full: %d of %d segments are free and these are reserved"
                % (self.segments.free_count(), self.superblock.segments),
            )
        self.running[client] = None
        try:
            group, row, area = await self._begin(client)
        except BaseException:
            del self.running[client]
            raise
        self.running[client] = backup = Backup(self, client, group, row, area)
        return backup

    async def _begin(self, client: int):
        txn = self.kv.begin()
        catalog = Catalog(txn)
        row = catalog.client(client)
        pending = catalog.group(row.pending) if row is not None and row.pending else None
        txn.abort()
        if row is None:
            raise Refusal("NOT_FOUND", "no such client")
        area = layout.DELTA if row.next_view > 1 else layout.FULL
        if pending is not None:
            return row.pending, pending, area
        numbers = []
        await self.apply(lambda catalog, live: numbers.append(self._new_group(catalog, client)))
        return numbers[0], layout.GROUP.tuple(client, layout.PENDING, 0, 0, 0, 0), area

    def _new_group(self, catalog, client: int) -> int:
        group = catalog.next_number(layout.META_GROUP)
        catalog.put_group(group, (client, layout.PENDING, 0, 0, 0, 0))
        self.roll.change(catalog, client, pending=group)
        return group

    def next_view(self, client: int) -> int:
        txn = self.kv.begin()
        try:
            return Catalog(txn).client(client).next_view
        finally:
            txn.abort()

    def end_pending(self, catalog, client: int, next_view: int) -> None:
        """The client's backup became a view."""
        self.roll.change(catalog, client, pending=0, next_view=next_view)

    async def abandon_group(self, client: int, group: int) -> None:
        await self.apply(lambda catalog, live: self._abandon(catalog, client, group))
        self.collector.wake()

    def _abandon(self, catalog, client: int, group: int) -> None:
        row = catalog.group(group)
        catalog.put_group(group, tuple(row[:1]) + (layout.ABANDONED,) + tuple(row[2:]))
        catalog.txn.put(layout.GARBAGE, layout.item_key(layout.GROUP_MARK, group, 0), b"")
        self.roll.change(catalog, client, pending=0)

    async def delete_view(self, client: int, view: int) -> None:
        """Take a view out of the list and free what only it needed. Raises Refusal NOT_FOUND."""
        await self.delete_views(client, (view,))

    async def delete_views(self, client: int, views) -> None:
        """Several of one client in one transaction. Raises Refusal NOT_FOUND, and then none was deleted."""
        await self.roll.delete_views(client, views)
        self.collector.wake()

    def drop_view(self, catalog, live: dict, client: int, view: int) -> None:
        """Within a transaction."""
        row = catalog.view(client, view)
        if row is None:
            return
        catalog.txn.delete(layout.VIEWS, layout.pair_key(client, view))
        catalog.add_references(layout.item_key(packs.NODES, row.root_group, row.root_index), -1)
        if row.attic_group:
            catalog.add_references(layout.item_key(packs.NODES, row.attic_group, row.attic_index), -1)
        live[row.segment] = live.get(row.segment, 0) - row.length
