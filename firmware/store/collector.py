"""Frees what nothing refers to any more, in small transactions, so that backups and restores go on meanwhile.

What has to be looked at is in the catalog's GARBAGE table, so a power cut only interrupts it. Woken by store.py.
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.store import intake, runs
from hal.errors import HalError
from hal.loop import sleep_ms

_SLICE = 512  # items in one transaction
_SCAN = 2048  # references looked at in one go


class Collector:
    """`run` is a supervised task; `step` does one slice and says whether it did anything."""

    def __init__(self, store):
        self._store = store
        self._wake = asyncio.Event()
        self._cursors = {}
        self._lock = asyncio.Lock()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Work whenever woken, until cancelled."""
        while True:
            await self.drain()
            await self._wake.wait()
            self._wake.clear()

    async def drain(self) -> None:
        """Until nothing is left that may be freed now."""
        while await self.step():
            await sleep_ms(0)

    async def step(self) -> bool:
        async with self._lock:
            keys, marks = self._due()
            work = await self._items(keys)
            if not work and not marks:
                return False
            await self._store.apply(lambda catalog, live: self._free(catalog, live, work, marks[:1]))
            return True

    def _due(self):
        """(item keys, group marks) of garbage that nothing holds."""
        txn = self._store.kv.begin()
        keys = []
        marks = []
        entries = txn.scan(layout.GARBAGE)
        for key, _ in entries:
            if key[0] == layout.GROUP_MARK:
                marks.append(key)
                break
            if layout.item_number(*layout.parse_item_key(key)) not in self._store.holds:
                keys.append(key)
            if len(keys) == _SLICE:
                break
        entries.close()
        txn.abort()
        return keys, [] if keys else marks

    async def _items(self, keys: list) -> list:
        """[(key, children or runs)], read before the transaction. A damaged item frees nothing but itself."""
        work = []
        pin = self._store.segments.pin()  # packs may be moved and their segment freed meanwhile
        try:
            for key in keys:
                kind, group, index = layout.parse_item_key(key)
                work.append((key, await self._load(kind, group, index)))
        finally:
            self._store.segments.unpin(pin)
        return work

    async def _load(self, kind: int, group: int, index: int):
        found = self._store.find_pack(kind, group, index)
        if found is None:
            return None
        try:
            item = (await self._store.packs.load(found[1])).item(index - found[0])
            return intake.parse_file(item) if kind == packs.FILES else intake.parse_node(item)
        except (HalError, intake.Refusal):
            return None

    def _free(self, catalog, live: dict, work: list, marks: list) -> None:
        for key, contents in work:
            self._free_item(catalog, live, key, contents)
        for key in marks:
            self._sweep(catalog, live, key)

    def _free_item(self, catalog, live: dict, key: bytes, contents) -> None:
        kind, group, index = layout.parse_item_key(key)
        if layout.item_number(kind, group, index) in self._store.holds:
            return  # a backup came to refer to it since it was chosen
        catalog.txn.delete(layout.GARBAGE, key)
        count = catalog.references(key)
        row = catalog.group(group)
        if count < 0 or (count > 0 and row.state != layout.ABANDONED):
            return
        catalog.txn.delete(layout.REFS, key)
        if contents is not None and kind == packs.NODES:
            for child_kind, child_group, child in contents:
                catalog.add_references(layout.item_key(child_kind, child_group, child), -1)
        elif contents is not None:
            self._free_runs(catalog, live, contents)
            self._forget_file(catalog, group, index, contents)
        found = catalog.pack_of(kind, group, index)
        if found is not None:
            self._unneed(catalog, live, kind, group, found[0], found[1])

    def _free_runs(self, catalog, live: dict, row) -> None:
        for run in row.runs:
            for group, first, _, _, _ in list(runs.pieces(catalog, (run,))):
                found = catalog.pack_of(packs.DATA, group, first)
                self._unneed(catalog, live, packs.DATA, group, first, found[1])

    def _forget_file(self, catalog, group: int, index: int, row) -> None:
        catalog.txn.delete(layout.RFE, layout.number_key(row.crc), intake.rfe_entry(group, index, row))
        grants = catalog.txn.scan(layout.GRANTS, layout.grant_key(group, index, 0), layout.grant_key(group, index + 1, 0))
        for key in [key for key, _ in grants]:
            catalog.txn.delete(layout.GRANTS, key)

    def _unneed(self, catalog, live: dict, kind: int, group: int, first: int, row) -> None:
        """One user less; the last one frees the pack."""
        if row.live > 1:
            catalog.put_pack(kind, group, first, tuple(row[:-1]) + (row.live - 1,))
            return
        self._drop_pack(catalog, live, kind, group, first, row)

    def _drop_pack(self, catalog, live: dict, kind: int, group: int, first: int, row) -> None:
        catalog.delete_pack(kind, group, first)
        live[row.segment] = live.get(row.segment, 0) - self._store.record_bytes(row.length)
        if self._is_gone(catalog, group):
            catalog.txn.delete(layout.GROUPS, layout.number_key(group))

    def _is_gone(self, catalog, group: int) -> bool:
        state = catalog.group(group).state
        return state not in (layout.PENDING, layout.SWEEPING) and not any(
            [
                catalog.end(layout.PACKS, layout.item_key(kind, group, 0), layout.item_key(kind, group + 1, 0))
                for kind in packs.KINDS
            ]
        )

    # -- a whole group: after its commit, what it sent in vain; after it was abandoned, everything

    def _sweep(self, catalog, live: dict, mark: bytes) -> None:
        group = layout.parse_item_key(mark)[1]
        row = catalog.group(group)
        if row is None:
            self._cursors.pop(group, None)
            catalog.txn.delete(layout.GARBAGE, mark)
            return
        start = self._cursors.get(group, layout.item_key(packs.FILES, group, 0))
        kind = start[0]
        if kind == packs.DATA:
            self._sweep_data(catalog, live, group, row, mark, start)
        else:
            self._sweep_items(catalog, group, row, kind, start)

    def _sweep_items(self, catalog, group: int, row, kind: int, start: bytes) -> None:
        entries = catalog.txn.scan(layout.REFS, start, layout.item_key(kind, group + 1, 0))
        found = []
        last = None
        seen = 0
        for key, value in entries:
            seen += 1
            if row.state == layout.ABANDONED or int.from_bytes(value, "little") == 0:
                found.append(key)
            if seen == _SCAN:
                last = key
                break
        entries.close()
        for key in found:
            catalog.txn.put(layout.GARBAGE, key, b"")
        following = packs.NODES if kind == packs.FILES else packs.DATA
        self._cursors[group] = last or layout.item_key(following, group, 0)

    def _sweep_data(self, catalog, live: dict, group: int, row, mark: bytes, start: bytes) -> None:
        """Items are done with (garbage comes before marks), so a chunk pack without users has none for ever."""
        entries = catalog.txn.scan(layout.PACKS, start, layout.item_key(packs.DATA, group + 1, 0))
        found = []
        last = None
        seen = 0
        for key, value in entries:
            seen += 1
            pack = layout.PACK.unpack(value)
            if pack.live == 0:
                found.append((layout.parse_item_key(key)[2], pack))
            if seen == _SCAN:
                last = key
                break
        entries.close()
        if last is None:
            del self._cursors[group]
            catalog.txn.delete(layout.GARBAGE, mark)
            if row.state == layout.SWEEPING:
                catalog.put_group(group, tuple(row[:1]) + (layout.COMMITTED,) + tuple(row[2:]))
        else:
            self._cursors[group] = last
        for first, pack in found:
            self._drop_pack(catalog, live, packs.DATA, group, first, pack)
        if last is None and catalog.group(group) is not None and self._is_gone(catalog, group):
            catalog.txn.delete(layout.GROUPS, layout.number_key(group))
