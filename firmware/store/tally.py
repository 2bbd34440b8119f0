"""Counts again, from the views alone, what a catalog must say: references, users of packs, bytes that segments need.

One pass over the nodes and one over the file objects, each pack read once, whatever the number of views: a node refers only to
nodes before it, so from the last node to the first every parent comes before its children. Counts go into a catalog (`target`) in
small transactions, so memory does not grow with the store. Used by check.py, which compares, and rebuild.py, which keeps them.
"""

from array import array

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from hal.errors import HalError
from hal.loop import sleep_ms

_BATCH = 4096  # counts in one transaction
_OWNERS = 1024  # owners of groups kept in memory
_YIELD = 64  # file objects between two turns of the loop


class Moment:
    """One transaction of a catalog, kept: what a check looks at."""

    def __init__(self, txn):
        self.catalog = Catalog(txn)

    def renew(self) -> None:
        """Nothing: it stays that moment."""


class Latest:
    """A catalog that the tally itself writes; `renew` lets go of the old pages."""

    def __init__(self, kv):
        self._kv = kv
        self.catalog = Catalog(kv.begin())

    def renew(self) -> None:
        self.catalog.txn.abort()
        self.catalog = Catalog(self._kv.begin())


class Tally:
    """`source` is a Moment or a Latest of the catalog with views and packs, `target` the kv that takes REFS and PACKS.live.

    Subclasses say what exists and hear of grants, file objects and damage. `done` and `total` count packs, for progress.
    """

    def __init__(self, source, target, loader):
        self.source = source
        self._target = target
        self._loader = loader
        self._refs = {}  # item number -> references counted since the last transaction
        self._users = {}  # (group, first) of a DATA pack -> likewise
        self._counts = []  # (key, items) of other packs
        self._owners = {}
        self.done = 0
        self.total = 0

    # -- for subclasses

    def exists(self, number: int, key: bytes) -> bool:
        """Whether this item is there: what nothing refers to may be, for a backup under way."""
        raise NotImplementedError

    def grant(self, group: int, index: int, client: int) -> None:
        """A node of `client` refers to a file object of another one."""

    def offer(self, group: int, index: int, row) -> None:
        """A file object that exists."""

    def unreadable(self, kind: int, group: int, first: int, row, error) -> None:
        """A pack of file objects or nodes cannot be read: what it refers to is not counted."""

    def orphan(self, group: int, client: int) -> None:
        """Nobody is known to own this group, and `client` uses it."""

    # -- the passes

    async def run(self) -> None:
        """Count everything. Nothing else may write the target meanwhile."""
        await self._roots()
        await self._each(packs.NODES, self._node, True)
        await self._each(packs.FILES, self._file, False)
        self._flush()

    async def _roots(self) -> None:
        key = b""
        while True:
            found = self.source.catalog.end(layout.VIEWS, key + b"\0" if key else b"", None)
            if found is None:
                return
            key, value = found
            row = layout.VIEW.unpack(value)
            self._adopt(row.root_group, int.from_bytes(key[:4], "big"))
            self._refer(packs.NODES, row.root_group, row.root_index)
            if row.attic_group:
                self._adopt(row.attic_group, int.from_bytes(key[:4], "big"))
                self._refer(packs.NODES, row.attic_group, row.attic_index)
            self._settle()
            await sleep_ms(0)

    async def _each(self, kind: int, take, backwards: bool) -> None:
        """`take` every existing item of a kind, pack by pack."""
        start, stop = layout.item_key(kind, 0, 0), layout.item_key(kind + 1, 0, 0)
        while True:
            found = self.source.catalog.end(layout.PACKS, start, stop, backwards)
            if found is None:
                return
            key = found[0]
            if backwards:
                stop = key
            else:
                start = key + b"\0"
            await self._pack(key, layout.PACK.unpack(found[1]), take, backwards)
            self.done += 1
            self._settle()
            await sleep_ms(0)

    async def _pack(self, key: bytes, row, take, backwards: bool) -> None:
        kind, group, first = layout.parse_item_key(key)
        pack = None
        there = 0
        order = range(row.count - 1, -1, -1) if backwards else range(row.count)
        try:
            for position in order:
                number = layout.item_number(kind, group, first + position)
                if not self.exists(number, layout.item_key(kind, group, first + position)):
                    continue
                there += 1
                pack = pack or await self._loader.load(row)
                await take(group, first + position, pack.item(position))
        except (HalError, Refusal) as error:
            there = self._all(kind, group, first, row.count)
            self.unreadable(kind, group, first, row, error)
        if there:
            self._counts.append((key, there))

    def _all(self, kind: int, group: int, first: int, count: int) -> int:
        items = [
            (layout.item_number(kind, group, index), layout.item_key(kind, group, index))
            for index in range(first, first + count)
        ]
        return sum([1 for number, key in items if self.exists(number, key)])

    async def _node(self, group: int, index: int, item) -> None:
        mine = self._owner(group)
        for kind, other, ref in intake.parse_node(item):
            self._refer(kind, other, ref)
            if other != group:
                self._adopt(other, mine)
                if kind == packs.FILES and self._owner(other) != mine:
                    self.grant(other, ref, mine)

    async def _file(self, group: int, index: int, item) -> None:
        row = intake.parse_file(item)
        self.offer(group, index, row)
        for run in row.runs:
            for data_group, first, _, _, _ in runs.present(self.source.catalog, run):
                self._users[(data_group, first)] = self._users.get((data_group, first), 0) + 1
        if index % _YIELD == 0:
            await sleep_ms(0)

    # -- counting

    def counted(self, number: int) -> bool:
        """Whether something refers to the item."""
        return number in self._refs or self.source.catalog.txn.get(layout.REFS, layout.number_item_key(number)) is not None

    def _refer(self, kind: int, group: int, index: int) -> None:
        number = layout.item_number(kind, group, index)
        self._refs[number] = self._refs.get(number, 0) + 1

    def _owner(self, group: int) -> int:
        """Client, 0 if unknown."""
        if group not in self._owners:
            if len(self._owners) == _OWNERS:
                self._owners = {}
            row = self.source.catalog.group(group)
            self._owners[group] = row.client if row else 0
        return self._owners[group]

    def _adopt(self, group: int, client: int) -> None:
        if client and not self._owner(group):
            self._owners[group] = client
            self.orphan(group, client)

    def _settle(self) -> None:
        if len(self._refs) + len(self._users) + len(self._counts) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        refs, self._refs = self._refs, {}
        users, self._users = self._users, {}
        counts, self._counts = self._counts, []
        txn = self._target.begin(write=True)
        for number, count in refs.items():
            key = layout.number_item_key(number)
            old = txn.get(layout.REFS, key)
            count += int.from_bytes(old, "little") if old else 0
            txn.put(layout.REFS, key, layout.NUMBER.pack(count))
        for (group, first), count in users.items():
            self._add(txn, layout.item_key(packs.DATA, group, first), count)
        for key, count in counts:
            self._add(txn, key, count)
        self.flushing(txn)
        txn.commit()
        self.source.renew()

    def flushing(self, txn) -> None:
        """For what a subclass has to write."""

    def _add(self, txn, key: bytes, count: int) -> None:
        value = txn.get(layout.PACKS, key)
        if value is None:
            value = self._fresh(key)
        row = layout.PACK.unpack(value)
        txn.put(layout.PACKS, key, layout.PACK.pack(*(tuple(row[:-1]) + (row.live + count,))))

    def _fresh(self, key: bytes) -> bytes:
        row = layout.PACK.unpack(self.source.catalog.txn.get(layout.PACKS, key))
        return layout.PACK.pack(*(tuple(row[:-1]) + (0,)))


async def needed_bytes(txn, segments: int, record_bytes, unused: bool):
    """For each segment the bytes of this catalog's records: packs (`unused`: also those without users), views, clients, the roster.

    `record_bytes(length)` is what a record with a body of `length` takes on the disk.
    """
    counts = array("Q", bytes(8 * segments))
    for seen, (_, value) in enumerate(txn.scan(layout.PACKS)):
        row = layout.PACK.unpack(value)
        if (row.live or unused) and row.segment < segments:
            counts[row.segment] += record_bytes(row.length)
        if seen % _BATCH == _BATCH - 1:
            await sleep_ms(0)
    roster = txn.get(layout.META, layout.META_ROSTER)
    if roster:
        row = layout.PLACE.unpack(roster)
        counts[row.segment] += row.length
    for table, record in ((layout.VIEWS, layout.VIEW), (layout.CLIENTS, layout.CLIENT)):
        for _, value in txn.scan(table):
            row = record.unpack(value)
            if row.segment < segments:
                counts[row.segment] += row.length
    return counts
