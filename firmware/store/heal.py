"""Heals damaged packs with what a client still holds: says what is wanted, checks what comes, writes the pack anew. Used by firmware/net.

A client is asked only for what it may read, and nothing is believed: each item must have the hash that the damaged pack's table gives
for it, or, should the table itself be damaged, the file's signature must come out right. The new pack goes into a segment, then
flush, then the catalog points to it: a cut leaves the damaged pack or the healed one. Items of the pack that nothing needs any
more are left out (their length becomes 0).
"""

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import fileobject, limits
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from firmware.store.packs import decode, item_sum, table_of
from firmware.store.scrub_damage import Damage, drop
from hal.errors import CorruptData, HalError, NoSpace


class _Target:
    """One damaged pack. `needed` {position: [(file object's group, index)]}; `items` {position: bytes} that came, from this client or
    before it from others."""

    def __init__(self, key: bytes, row, needed: dict, table):
        self.key = key
        self.place = (key, row.segment, row.offset)
        self.row = row
        self.needed = needed
        self.table = table  # body whose table can be read, or None
        self.lengths = {}  # position -> bytes
        self.items = {}


class Heal:
    """One conversation with `client`. `healed` counts packs."""

    def __init__(self, store, client: int):
        self._store = store
        self._client = client
        self._damage = Damage(store)
        self._targets = []
        self.healed = 0

    async def wanted(self) -> list:
        """[(kind, group, index, file group, file index, offset, length)]: items that this client may have still."""
        found = []
        txn = self._store.kv.begin()
        try:
            catalog = Catalog(txn)
            for key, fault, row in self._damage.rows():
                if fault.located and len(found) < limits.HEAL_ROWS:
                    found += await self._wanted(catalog, key, row)
        finally:
            txn.abort()
        return found[: limits.HEAL_ROWS]

    async def _wanted(self, catalog, key: bytes, row) -> list:
        kind, group, first = layout.parse_item_key(key)
        target = _Target(key, row, {}, await self._table(row))
        given = await self._chunks(catalog, target) if kind == packs.DATA else self._items(catalog, target)
        target.items = dict(self._store.parts.get(target.place))
        rows = {position: given[position] for position in given if position not in target.items}
        target.lengths = {position: rows[position][3] for position in rows}
        if not rows or sum(target.lengths.values()) > limits.PACK_RAW_BYTES:
            return []
        self._targets.append(target)
        return [(kind, group, first + position) + rows[position] for position in sorted(rows)]

    async def _table(self, row):
        try:
            body = (await self._store.packs.table(row))[1]
            return body if sum(packs.lengths(body, 0, row.count)) <= limits.PACK_RAW_BYTES else None
        except (HalError, Refusal):
            return None

    async def _chunks(self, catalog, target) -> dict:
        """{position: (file group, file index, offset, length)} that the client may give; fills `needed` with all that is needed."""
        given = {}
        for key, value in list(catalog.txn.scan(layout.DAMAGE, target.key + b"\0", target.key + b"\xff" * 10)):
            _, group, index, start = layout.parse_use_key(key)
            use = layout.USE.unpack(value)
            if catalog.references(layout.item_key(packs.FILES, group, index)) < 0:
                continue
            positions = range(start, min(start + use.count, target.row.count))
            lengths = await self._lengths(catalog, target, group, index, use.offset, positions)
            offset = use.offset
            for position, length in zip(positions, lengths):
                target.needed.setdefault(position, []).append((group, index))
                if length and catalog.granted(self._client, packs.FILES, group, index):
                    given[position] = (group, index, offset, length)
                offset += length
        return given

    async def _lengths(self, catalog, target, group: int, index: int, offset: int, positions) -> list:
        """Bytes of these chunks of a file object, by the pack's table or else by how files are cut; zeros if nobody knows."""
        if target.table is not None:
            return list(packs.lengths(target.table, positions.start, positions.stop)) if positions else []
        file = await self._file(catalog, group, index)
        if file is None:
            return [0 for _ in positions]
        size = file.chunk_bytes
        return [max(0, min(size, file.size - offset - at * size)) for at in range(len(positions))]

    async def _file(self, catalog, group: int, index: int):
        """FILE of a file object whose signature says everything about its chunks; None for others, or if it cannot be read."""
        found = catalog.pack_of(packs.FILES, group, index)
        try:
            row = intake.parse_file((await self._store.packs.load(found[1])).item(index - found[0]))
        except (HalError, Refusal, TypeError):
            return None
        return None if row.flags or any([run[0] == fileobject.HOLE_GROUP for run in row.runs]) else row

    def _items(self, catalog, target) -> dict:
        """As `_chunks`, of file objects and nodes: the client may have them in its cache."""
        kind, group, first = layout.parse_item_key(target.key)
        given = {}
        for position in range(target.row.count if target.table is not None else 0):
            if catalog.references(layout.item_key(kind, group, first + position)) >= 0:
                target.needed[position] = []
                if catalog.granted(self._client, kind, group, first + position):
                    given[position] = (0, 0, 0, packs.lengths(target.table, position, position + 1)[0])
        return given

    async def take(self, body) -> None:
        """One pack of items, in the order of `wanted`; what is not wanted or not right is dropped. Raises Refusal CORRUPT."""
        try:
            pack = decode(body, self._store.processor)
        except CorruptData as error:
            raise Refusal("CORRUPT", str(error))
        header = pack.header
        for place in range(header.count):
            target, position = self._find(header.kind, header.group, header.first + place)
            if target is None or len(pack.item(place)) != target.lengths.get(position):
                continue
            item = target.items[position] = bytes(pack.item(place))
            if self._is_known(target, position, item):
                self._store.parts.add(target.place, position, item)
            if len(target.items) == len(target.needed):
                self._targets.remove(target)
                if await self._right(target):
                    await self._replace(target)

    def _is_known(self, target, position: int, item: bytes) -> bool:
        """Whether the pack's own table says that this was there."""
        return target.table is not None and item_sum(self._store.processor, item) == packs.sums(
            target.table, position, position + 1
        )

    async def _right(self, target) -> bool:
        """Whether every item that came is what was there: by the table, else by the signature of a file that it is part of."""
        doubtful = {
            position: target.needed[position]
            for position, item in target.items.items()
            if not self._is_known(target, position, item)
        }
        sure = {}
        for position, files in doubtful.items():
            for file in files:
                if file not in sure:
                    sure[file] = await self._signed(target, file)
            if not any([sure[file] for file in files]):
                return False
        if doubtful:
            target.table = None  # it is damaged itself
        return True

    async def _signed(self, target, file) -> bool:
        """Whether a file object's signature comes out right with the chunks that came."""
        _, data_group, first = layout.parse_item_key(target.key)
        txn = self._store.kv.begin()
        try:
            catalog = Catalog(txn)
            row = await self._file(catalog, *file)
            if row is None:
                return False
            signature = intake.Signature(self._store.processor.hasher(), row.chunk_bytes)
            for group, pack_first, pack_row, start, end in runs.pieces(catalog, row.runs):
                mine = (group, pack_first) == (data_group, first)
                body = None if mine else (await self._store.packs.table(pack_row))[1]
                if not mine:
                    signature.chunks(body, start, end)
                for position in range(start, end if mine else start):
                    item = target.items[position]
                    signature.chunk(len(item), item_sum(self._store.processor, item))
            return signature.regular and signature.size == row.size and signature.digest() == row.signature
        except (HalError, KeyError):
            return False
        finally:
            txn.abort()

    def _find(self, kind: int, group: int, index: int):
        """(target, position). Targets before it got all they will get."""
        for at, target in enumerate(self._targets):
            known, of, first = layout.parse_item_key(target.key)
            if (known, of) == (kind, group) and first <= index < first + target.row.count:
                del self._targets[:at]
                return target, index - first
        return None, 0

    async def _replace(self, target) -> None:
        store = self._store
        kind, group, first = layout.parse_item_key(target.key)
        body = self._build(target, kind, group, first)
        try:
            place = await store.log.append(
                self._area(target.row.segment), disk_format.PACK, body, (kind, target.row.count, group, first), 0
            )
        except NoSpace:
            raise Refusal("FULL", "the disk has no room for a healed pack")
        done = []

        def work(catalog, live):
            done[:] = [self._repoint(catalog, live, target, place, len(body))]

        await store.apply(work, None, (place[0],))
        store.parts.drop(target.place)
        self.healed += done[0]

    def _repoint(self, catalog, live: dict, target, place, length: int) -> int:
        """Within a transaction: 1, or 0 if the pack was freed or moved meanwhile and the new record is garbage."""
        value = catalog.txn.get(layout.PACKS, target.key)
        row = layout.PACK.unpack(value) if value else None
        if row is None or (row.segment, row.offset) != (target.row.segment, target.row.offset):
            return 0
        segment, offset, taken = place
        catalog.put_pack(*(layout.parse_item_key(target.key) + ((segment, offset, length, row.count, row.live),)))
        live[segment] = live.get(segment, 0) + taken
        live[row.segment] = live.get(row.segment, 0) - self._store.record_bytes(row.length)
        drop(catalog.txn, target.key)
        return 1

    def _area(self, segment: int) -> int:
        txn = self._store.kv.begin()
        value = txn.get(layout.SEGMENTS, layout.number_key(segment))
        txn.abort()
        return layout.SEGMENT.unpack(value).area if value else layout.DELTA

    def _build(self, target, kind: int, group: int, first: int) -> bytes:
        """The pack anew."""
        processor = self._store.processor
        items = [target.items.get(position, b"") for position in range(target.row.count)]
        table = table_of(processor, items)
        raw = b"".join(items)
        room = bytearray(len(raw))
        stored = processor.compress(raw, room) if raw else 0
        payload = bytes(memoryview(room)[:stored]) if stored else raw
        codec = packs.ZSTD if stored else packs.RAW
        head = packs.HEADER.pack(kind, codec, target.row.count, group, first, len(raw), len(payload))
        return head + table + payload
