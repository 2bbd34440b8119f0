"""`store check`: counts again what the views need and explains every difference to the catalog. Changes nothing.

What is checked is one moment, held by a snapshot, so backups and restores go on. Memory is bounded: both sides are read in key
order, side by side, and of each kind of finding only the first few are named. Used by the console.
"""

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.formats import rfe
from firmware.store import intake
from firmware.store.catalog import Catalog
from firmware.store.tally import Moment, Tally, needed_bytes
from hal.loop import sleep_ms

_EXAMPLES = 5
_SLICE = 1024  # rows between two turns of the loop
_BUSY = (layout.PENDING, layout.SWEEPING, layout.ABANDONED)  # groups that are being filled or emptied

_REBUILD = "`disk rebuild` makes the catalog anew from the segments"
_WASTE = "nothing is lost; " + _REBUILD + " and gives the space back"

# what is found -> (what it means, what to do)
FINDINGS = {
    "references too low": ("something that a view needs would be freed too early", "delete no view before this: " + _REBUILD),
    "references too high": ("something that no view needs any more is kept for ever", _WASTE),
    "item missing": (
        "a view refers to a file or directory that is not in the catalog",
        _REBUILD + "; `disk scrub` looks for damage",
    ),
    "item not in a pack": ("a file or directory of a view has no place on the disk", _REBUILD),
    "item leaks": ("something that nothing refers to is not going to be freed", _WASTE),
    "root missing": ("a view has lost its root directory: it cannot be restored", "delete the view; restore from tape"),
    "pack users": ("how many files need a pack of chunks is counted wrong", _REBUILD),
    "pack leaks": ("a pack that nothing needs is not going to be freed", _WASTE),
    "live bytes": ("what a segment holds is counted wrong: it may be freed too early, or never", _REBUILD),
    "segment leaks": ("a segment holds nothing and is not free", _WASTE),
    "grant missing": ("a client may not read a file that its own view holds", _REBUILD),
    "file not offered": ("a file that others hold too would be sent again", _REBUILD + "; it costs only bandwidth"),
    "offer of nothing": ("a file is offered to clients that is not there; their claims are refused", _REBUILD),
    "damage": ("data of views fails its check on the disk", "`store damage` names the files; agents that hold them heal it"),
    "unreadable": (
        "a pack of files or directories fails its check on the disk",
        "start `disk scrub`, then `store damage` names them",
    ),
}


class Findings:
    """Counts by name, and the first few examples of each."""

    def __init__(self):
        self._found = {}

    def add(self, name: str, example: str) -> None:
        row = self._found.setdefault(name, [0, []])
        row[0] += 1
        if len(row[1]) < _EXAMPLES:
            row[1].append(example)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def rows(self) -> list:
        """[{"finding", "count", "examples", "meaning", "advice"}] in the order of FINDINGS."""
        return [
            {
                "finding": name,
                "count": self._found[name][0],
                "examples": self._found[name][1],
                "meaning": FINDINGS[name][0],
                "advice": FINDINGS[name][1],
            }
            for name in FINDINGS
            if name in self._found
        ]


class _Count(Tally):
    """What exists is what the catalog says exists."""

    def __init__(self, source, target, loader, findings):
        super().__init__(source, target, loader)
        self._findings = findings
        self.items = 0

    def exists(self, number: int, key: bytes) -> bool:
        return self.source.catalog.txn.get(layout.REFS, key) is not None

    def grant(self, group: int, index: int, client: int) -> None:
        if not self.source.catalog.granted(client, packs.FILES, group, index):
            self._findings.add("grant missing", "client %d, %s" % (client, _item(packs.FILES, group, index)))

    def offer(self, group: int, index: int, row) -> None:
        self.items += 1
        entry = intake.rfe_entry(group, index, row)
        key = layout.number_key(row.crc)
        if intake.offered(row) and not _has_pair(self.source.catalog.txn, layout.RFE, key, entry):
            self._findings.add("file not offered", _item(packs.FILES, group, index))

    def unreadable(self, kind: int, group: int, first: int, row, error) -> None:
        self._findings.add("unreadable", "%s: %s" % (_item(kind, group, first), error))


def _item(kind: int, group: int, index: int) -> str:
    return "%s %d of backup %d" % (packs.KIND_NAMES[kind], index, group)


def _has_pair(txn, table: str, key: bytes, value: bytes) -> bool:
    found = False
    scan = txn.scan(table, key, key + b"\0")
    for _, other in scan:
        if other == value:
            found = True
            scan.close()
            break
    return found


def _side_by_side(left, right):
    """Generator of (key, value or None, value or None) of two scans in key order."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            yield a[0], a[1], None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(left, None), next(right, None)


class Check:
    """One check of a store. `scratch` is an empty kv with the catalog's tables. For progress: name, done_bytes, total_bytes, text."""

    name = "check"
    done_bytes = 0
    total_bytes = 0

    def __init__(self, store, scratch):
        self._store = store
        self._scratch = scratch
        self.findings = Findings()
        self.text = ""
        self._count = None

    async def run(self) -> dict:
        """{"views", "files", "findings": rows}. Raises HalError."""
        snapshot = self._store.snapshot()
        try:
            return await self._run(snapshot.txn)
        finally:
            snapshot.release()

    async def _run(self, txn) -> dict:
        moment = Moment(txn)
        count = _Count(moment, self._scratch, self._store.packs, self.findings)
        self.text = "counting"
        await count.run()
        self.text = "comparing"
        views = await self._roots(txn)
        other = self._scratch.begin()
        try:
            await self._references(txn, other)
            await self._packs(txn, other)
        finally:
            other.abort()
        await self._segments(txn)
        await self._offers(txn)
        self._damage(txn)
        return {"views": views, "files": count.items, "findings": self.findings.rows()}

    def _damage(self, txn) -> None:
        for key, value in txn.scan(layout.DAMAGE):
            row = txn.get(layout.PACKS, key[:9])
            fault = layout.FAULT.unpack(value) if len(key) == 9 else None
            if fault and row and tuple(layout.PACK.unpack(row)[:2]) == (fault.segment, fault.offset):
                self.findings.add("damage", "pack of %s" % _item(*layout.parse_item_key(key)))

    async def _roots(self, txn) -> int:
        views = 0
        catalog = Catalog(txn)
        for key, value in txn.scan(layout.VIEWS):
            row = layout.VIEW.unpack(value)
            views += 1
            if catalog.references(layout.item_key(packs.NODES, row.root_group, row.root_index)) < 1:
                client, view = int.from_bytes(key[:4], "big"), int.from_bytes(key[4:], "big")
                self.findings.add("root missing", "client %d, view %d" % (client, view))
            if views % _SLICE == 0:
                await sleep_ms(0)
        return views

    def _is_busy(self, catalog, group: int, states=_BUSY) -> bool:
        row = catalog.group(group)
        return row is not None and row.state in states

    async def _references(self, txn, other) -> None:
        catalog = Catalog(txn)
        blind = "unreadable" in self.findings  # then what it refers to was not counted
        for seen, (key, mine, counted) in enumerate(_side_by_side(txn.scan(layout.REFS), other.scan(layout.REFS))):
            self._reference(catalog, key, _number(mine), _number(counted), mine is None, blind)
            if seen % _SLICE == _SLICE - 1:
                await sleep_ms(0)

    def _reference(self, catalog, key: bytes, has: int, counted: int, absent: bool, blind: bool) -> None:
        kind, group, index = layout.parse_item_key(key)
        example = "%s: catalog %d, views %d" % (_item(kind, group, index), has, counted)
        if self._is_busy(catalog, group, (layout.ABANDONED,)):
            return
        if absent:
            self.findings.add("item missing", example)
        elif has < counted:
            self.findings.add("references too low", example)
        elif has > counted and not blind:
            self.findings.add("references too high", example)
        elif has == 0 and catalog.txn.get(layout.GARBAGE, key) is None and not self._is_busy(catalog, group):
            self.findings.add("item leaks", example)
        if not absent and catalog.pack_of(kind, group, index) is None:
            self.findings.add("item not in a pack", example)

    async def _packs(self, txn, other) -> None:
        catalog = Catalog(txn)
        blind = "unreadable" in self.findings
        for seen, (key, mine, counted) in enumerate(_side_by_side(txn.scan(layout.PACKS), other.scan(layout.PACKS))):
            kind, group, first = layout.parse_item_key(key)
            live = layout.PACK.unpack(mine).live
            users = layout.PACK.unpack(counted).live if counted else 0
            example = "pack of %s: catalog %d, views %d" % (_item(kind, group, first), live, users)
            if live != users and not (blind and live > users) and not self._is_busy(catalog, group, (layout.ABANDONED,)):
                self.findings.add("pack users", example)
            if live == 0 and not self._is_busy(catalog, group):
                self.findings.add("pack leaks", example)
            if seen % _SLICE == _SLICE - 1:
                await sleep_ms(0)

    async def _segments(self, txn) -> None:
        store = self._store
        needed = await needed_bytes(txn, store.superblock.segments, store.record_bytes, True)
        for segment in range(store.superblock.segments):
            value = txn.get(layout.SEGMENTS, layout.number_key(segment))
            row = layout.SEGMENT.unpack(value) if value else None
            live = row.live if row else 0
            if live != needed[segment]:
                self.findings.add("live bytes", "segment %d: catalog %d, needed %d" % (segment, live, needed[segment]))
            elif row and row.live == 0 and row.state == layout.SEALED:
                self.findings.add("segment leaks", "segment %d" % segment)
            if segment % _SLICE == _SLICE - 1:
                await sleep_ms(0)

    async def _offers(self, txn) -> None:
        for seen, (_, value) in enumerate(txn.scan(layout.RFE)):
            entry = rfe.ENTRY.unpack(value)
            if txn.get(layout.REFS, layout.item_key(packs.FILES, entry.group, entry.index)) is None:
                self.findings.add("offer of nothing", _item(packs.FILES, entry.group, entry.index))
            if seen % _SLICE == _SLICE - 1:
                await sleep_ms(0)


def _number(value) -> int:
    return int.from_bytes(value, "little") if value else 0
