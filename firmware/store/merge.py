"""Folds consecutive views of a client into the last of them (MCM). Driven by keep.py.

The last view keeps its number and its tree, so that an agent's next backup compares with what it knows; the others go. What they
held that the last one does not is freed, but for deleted files: these go into the view's attic (firmware/formats/dtf.py), until they
are too old. New nodes lie in a BDF of their own, so that a running backup of the client goes on. One transaction at the end
replaces the views: a power cut leaves all of them or the merged one.
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store.catalog import Catalog
from firmware.store.merge_tree import Damaged
from firmware.store.merge_walk import Walk
from firmware.store.merge_writer import NodeWriter
from firmware.store.view_record import commit_record
from hal.errors import HalError


class Outcome:
    """What one fold did: `views` that went, `nodes` read and `names` looked at, `stored_bytes` written, `damaged` directories."""

    def __init__(self, views: int, walk, stored_bytes: int):
        self.views = views
        self.nodes = walk.nodes
        self.names = walk.visited
        self.damaged = walk.damaged
        self.stored_bytes = stored_bytes


class Merger:
    """One fold at a time."""

    def __init__(self, store):
        self._store = store
        self._lock = asyncio.Lock()

    async def fold(self, client: int, numbers: list, kind: int, now_ns: int, limit_ns: int):
        """The views `numbers`, oldest first, become the last of them, of `kind`; what was deleted before `limit_ns` goes. An `Outcome`.

        Raises Refusal NOT_FOUND if a view is gone, FULL; then nothing changed.
        """
        async with self._lock:
            pin = self._store.segments.pin()
            try:
                return await self._fold(client, numbers, kind, now_ns, limit_ns)
            finally:
                self._store.segments.unpin(pin)

    async def _fold(self, client: int, numbers: list, kind: int, now_ns: int, limit_ns: int):
        rows = self._rows(client, numbers)
        writer = NodeWriter(self._store, client)
        walk = Walk(self._load, writer.emit, self._store.processor.blake2b, limit_ns)
        try:
            attic = await self._attic(walk, writer, rows, now_ns)
            await writer.checkpoint()
            await self._commit(client, numbers, kind, rows, attic, writer)
        except HalError as error:
            await writer.abandon()
            raise Refusal("FULL", "merging views of client %d: %s" % (client, error))
        except BaseException:
            await writer.abandon()
            raise
        self._store.collector.wake()
        return Outcome(len(numbers) - 1, walk, writer.stored_bytes)

    def _rows(self, client: int, numbers: list) -> list:
        txn = self._store.kv.begin()
        rows = [Catalog(txn).view(client, number) for number in numbers]
        txn.abort()
        for number, row in zip(numbers, rows):
            if row is None:
                raise Refusal("NOT_FOUND", "no view %d" % number)
        return rows

    async def _load(self, ref) -> bytes:
        found = self._store.find_pack(packs.NODES, ref[0], ref[1])
        if found is None:
            raise Damaged("node %d of BDF %d is gone" % (ref[1], ref[0]))
        try:
            return bytes((await self._store.packs.load(found[1])).item(ref[1] - found[0]))
        except HalError as error:
            raise Damaged(str(error))

    async def _attic(self, walk, writer, rows: list, now_ns: int):
        """((group, index) or None, oldest deletion) of all the views together."""
        attic = _attic_of(rows[0])
        at_ns = _deletion_ns(rows[0], 1, now_ns)
        if len(rows) == 1 and attic is not None:
            return await walk.deletions(None, None, attic, now_ns)
        oldest_ns = rows[0].attic_ns
        for older, newer in zip(rows, rows[1:]):
            at_ns = _deletion_ns(newer, at_ns, now_ns)
            attic, oldest_ns = await walk.deletions(_root_of(older), _root_of(newer), attic, at_ns)
            await writer.checkpoint()  # the next step reads what this one wrote
            if newer.attic_group and attic is not None:
                attic, oldest_ns = await walk.join(_attic_of(newer), attic)
                await writer.checkpoint()
            elif newer.attic_group:
                attic, oldest_ns = _attic_of(newer), newer.attic_ns
        return attic, oldest_ns

    async def _commit(self, client: int, numbers: list, kind: int, rows: list, attic, writer) -> None:
        group, index = attic[0] or (0, 0)
        changes = {
            "kind": kind,
            "first_group": min([row.first_group for row in rows]),
            "attic_group": group,
            "attic_index": index,
            "attic_ns": attic[1] if group else 0,
            "stored_bytes": sum([row.stored_bytes for row in rows]) + writer.stored_bytes,
        }
        last = rows[-1]
        merged = layout.VIEW.tuple(*[changes[name] if name in changes else getattr(last, name) for name, _ in layout.VIEW.rows])

        def work(catalog, live, segment, length):
            for number, row in zip(numbers, rows):
                if not _same(catalog.view(client, number), row):
                    raise Refusal("NOT_FOUND", "view %d is gone or changed: its merge is given up" % number)
            if group:
                catalog.add_references(layout.item_key(packs.NODES, group, index), 1)
            self._store.drop_view(catalog, live, client, numbers[-1])
            catalog.add_references(layout.item_key(packs.NODES, last.root_group, last.root_index), 1)
            value = [{"segment": segment, "length": length}.get(name, getattr(merged, name)) for name, _ in layout.VIEW.rows]
            catalog.txn.put(layout.VIEWS, layout.pair_key(client, numbers[-1]), layout.VIEW.pack(*value))
            live[segment] = live.get(segment, 0) + length
            writer.settle(catalog)

        await self._store.roll.merge_views(client, numbers[:-1], commit_record(client, numbers[-1], merged), work)


def _same(now, row) -> bool:
    """Whether a view is what it was, wherever compaction has put its record."""
    if now is None:
        return False
    return all([name in ("segment", "length") or getattr(now, name) == getattr(row, name) for name, _ in layout.VIEW.rows])


def _root_of(row):
    return row.root_group, row.root_index


def _attic_of(row):
    return (row.attic_group, row.attic_index) if row.attic_group else None


def _deletion_ns(row, before_ns: int, now_ns: int) -> int:
    """When a view misses a file: its time, but for clocks that are wrong."""
    return max(before_ns, min(row.time_ns, now_ns))
