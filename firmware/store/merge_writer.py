"""Writes the nodes of a merge into a BDF of their own, beside any backup of the client. Used by merge.py.

The BDF is pending and named in META_MERGE until the merge is committed; what a power cut leaves of it is freed at the next start.
"""

from firmware.formats import catalog as layout
from firmware.formats import disk, dtf, limits
from firmware.formats import pack as packs
from firmware.store.change import Change
from firmware.store.packs import table_of

_PACK_ITEMS = 256
_CHECKPOINT_ROWS = 4096
_LAST = 1  # free segments that even a merge leaves


class NodeWriter:
    """`group` is 0 until the first node comes. Finish with a transaction that calls `settle`, or with `abandon`."""

    def __init__(self, store, client: int):
        self._store = store
        self._client = client
        self._change = Change()
        self._items = []
        self._bytes = 0
        self._durable = 0
        self.next = 0
        self.stored_bytes = 0
        self.group = 0

    async def emit(self, body: bytes, refs: list):
        """(group, index) of a new node; `refs` [(REF kind, group, index)] are what it refers to."""
        if not self.group:
            await self._begin()
        for kind, group, index in refs:
            if kind != dtf.NOTHING:
                self._refer(packs.FILES if kind == dtf.FILE else packs.NODES, group, index)
        if self._items and (len(self._items) == _PACK_ITEMS or self._bytes + len(body) > limits.PACK_AIM_BYTES):
            await self._flush()
        self._items.append(body)
        self._bytes += len(body)
        self.next += 1
        index = self.next - 1
        if self._change.size() >= _CHECKPOINT_ROWS:
            await self.checkpoint()
        return self.group, index

    def _refer(self, kind: int, group: int, index: int) -> None:
        item = layout.item_number(kind, group, index)
        if item not in self._change.references:
            self._store.holds.add(item)
        self._change.refer(item)

    async def _begin(self) -> None:
        numbers = []

        def work(catalog, live):
            numbers.append(catalog.next_number(layout.META_GROUP))
            catalog.put_group(numbers[-1], (self._client, layout.PENDING, 0, 0, 0, 0))
            catalog.txn.put(layout.META, layout.META_MERGE, layout.NUMBER.pack(numbers[-1]))

        await self._store.apply(work)
        self.group = numbers[0]

    async def _flush(self) -> None:
        items, self._items, self._bytes = self._items, [], 0
        if not items:
            return
        first = self.next - len(items)
        body = _pack(self._store.processor, self.group, first, items)
        head = (packs.NODES, len(items), self.group, first)
        segment, offset, taken = await self._store.log.append(layout.MERGE, disk.PACK, body, head, _LAST)
        change = self._change
        change.packs.append((packs.NODES, self.group, first, segment, offset, len(body), len(items), taken))
        for index in range(first, self.next):
            change.items.append(layout.item_key(packs.NODES, self.group, index))
        self.stored_bytes += taken

    async def checkpoint(self) -> None:
        """Everything emitted can be read back through the catalog."""
        await self._flush()
        change, self._change = self._change, Change()
        if change.size():
            await self._store.apply(lambda catalog, live: self._checkpoint(catalog, live, change), change)

    def _checkpoint(self, catalog, live: dict, change) -> None:
        change.apply(catalog, live)
        self._put(catalog, layout.PENDING)

    def _put(self, catalog, state: int) -> None:
        catalog.put_group(self.group, (self._client, state, 0, 0, self.next, self.stored_bytes))

    def settle(self, catalog, state: int = layout.SWEEPING) -> None:
        """Within a transaction, after a checkpoint: the BDF is committed (or ABANDONED), what nothing refers to is freed."""
        if self.group:
            self._put(catalog, state)
            end_merge(catalog, self.group)

    async def abandon(self) -> None:
        change, self._change = self._change, Change()
        self._store.drop_change(change)
        if self.group:
            await self._store.apply(lambda catalog, live: self.settle(catalog, layout.ABANDONED))
            self._store.collector.wake()


def end_merge(catalog, group: int) -> None:
    """Within a transaction: no merge is under way; look through its BDF."""
    catalog.txn.put(layout.GARBAGE, layout.item_key(layout.GROUP_MARK, group, 0), b"")
    catalog.txn.delete(layout.META, layout.META_MERGE)


def abandon_cut(catalog) -> None:
    """Within a transaction, at the start: free what a merge left that a power cut ended."""
    group = catalog.number(layout.META_MERGE)
    row = catalog.group(group) if group else None
    if row is not None:
        catalog.put_group(group, (row.client, layout.ABANDONED) + tuple(row[2:]))
        end_merge(catalog, group)


def _pack(processor, group: int, first: int, items: list):
    """One pack of nodes."""
    front = packs.front(len(items))
    raw = b"".join(items)
    body = memoryview(bytearray(front + len(raw)))
    body[packs.HEADER.size : front] = table_of(processor, items)
    stored = processor.compress(raw, body[front:]) if raw else 0
    codec = packs.ZSTD if stored else packs.RAW
    if not stored:
        body[front:] = raw
        stored = len(raw)
    packs.HEADER.pack_into(body, 0, packs.NODES, codec, len(items), group, first, len(raw), stored)
    return body[: front + stored]
