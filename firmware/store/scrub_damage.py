"""What the scrub found damaged: the catalog's DAMAGE table, and which file objects use it. Used by scrub.py, heal.py, scrub_names.py."""

from firmware.formats import catalog as layout
from firmware.formats import fileobject
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from hal.errors import HalError
from hal.loop import sleep_ms

_PACKS = 4096  # damaged packs noted; a disk with more wants replacing
_USES = 65536
_KEY_BYTES = 9


class Damage:
    """The DAMAGE table. Rows whose pack was freed or has moved since are void and are dropped when they are met."""

    def __init__(self, store):
        self._store = store
        self._fresh = True  # there may be packs whose users are not known

    def rows(self) -> list:
        """[(pack key, FAULT, PACK)] of what is damaged still."""
        txn = self._store.kv.begin()
        found = []
        for key, value in txn.scan(layout.DAMAGE):
            if len(key) == _KEY_BYTES:
                fault = layout.FAULT.unpack(value)
                now = txn.get(layout.PACKS, key)
                row = layout.PACK.unpack(now) if now else None
                if row is not None and (row.segment, row.offset) == (fault.segment, fault.offset):
                    found.append((key, fault, row))
        txn.abort()
        return found

    def count(self) -> int:
        return len(self.rows())

    def waiting(self) -> bool:
        """Whether there are packs whose users are not known yet."""
        return self._fresh and any([not fault.located for _, fault, _ in self.rows()])

    def note(self, key: bytes, row, cause: int) -> bool:
        """A pack failed its check; False if that is known already, or too many are."""
        txn = self._store.kv.begin()
        old = txn.get(layout.DAMAGE, key)
        txn.abort()
        if old is not None:
            fault = layout.FAULT.unpack(old)
            if (fault.segment, fault.offset) == (row.segment, row.offset):
                return False
            self.forget(key)
        if self.count() >= _PACKS:
            return False
        located = 0 if key[0] == packs.DATA else 1
        fault = layout.FAULT.pack(row.segment, row.offset, self._store.clock.now_ns(), cause, located)
        txn = self._store.kv.begin(write=True)
        txn.put(layout.DAMAGE, key, fault)
        txn.commit()
        self._fresh = True
        return True

    def forget(self, key: bytes) -> None:
        """The pack is sound, or gone."""
        txn = self._store.kv.begin()
        known = txn.get(layout.DAMAGE, key) is not None
        txn.abort()
        if known:
            txn = self._store.kv.begin(write=True)
            drop(txn, key)
            txn.commit()

    def prune(self) -> None:
        """Drop the rows of packs that were freed or have moved."""
        kept = {key: True for key, _, _ in self.rows()}
        txn = self._store.kv.begin()
        void = [key for key, _ in txn.scan(layout.DAMAGE) if len(key) == _KEY_BYTES and key not in kept]
        txn.abort()
        for key in void:
            self.forget(key)

    # -- who uses it

    async def locate(self) -> None:
        """Find the file objects whose chunks lie in damaged packs; one pass over all of them if there is something to find."""
        wanted = {}
        for key, fault, _ in self.rows():
            if not fault.located:
                _, group, first = layout.parse_item_key(key)
                wanted.setdefault(group, {})[first] = key
        self._fresh = False
        if not wanted:
            return
        snapshot = self._store.snapshot()
        try:
            found = await self._search(snapshot.txn, wanted)
        finally:
            snapshot.release()
        self._write(found, [key for firsts in wanted.values() for key in firsts.values()])

    async def _search(self, txn, wanted: dict) -> list:
        """[(use key, USE bytes)]."""
        catalog = Catalog(txn)
        found = []

        async def look(group: int, index: int, item) -> None:
            row = intake.parse_file(item)
            if any([run[0] in wanted for run in row.runs]) and len(found) < _USES:
                found.extend(await self._uses(catalog, wanted, group, index, row))

        await each_item(self._store, catalog, packs.FILES, look)
        return found

    async def _uses(self, catalog, wanted: dict, group: int, index: int, row) -> list:
        """As `_search`, of one file object. Offsets are exact also where chunks were cut by a difference, or lie between holes."""
        even = not row.flags and not any([run[0] == fileobject.HOLE_GROUP for run in row.runs])
        found = []
        offset = 0
        for run in row.runs:
            if run[0] == fileobject.HOLE_GROUP:
                offset += fileobject.hole_bytes(run)
                continue
            for data_group, first, pack_row, start, end in runs.present(catalog, run):
                key = wanted.get(data_group, {}).get(first)
                if key is not None:
                    found.append((layout.use_key(key, group, index, start), layout.USE.pack(end - start, offset)))
                offset += (end - start) * row.chunk_bytes if even else await self._length(pack_row, start, end)
        return found

    async def _length(self, row, start: int, end: int) -> int:
        """Bytes of chunks of a pack. Raises HalError."""
        body = (await self._store.packs.table(row))[1]
        return sum(packs.lengths(body, start, end))

    def _write(self, found: list, keys: list) -> None:
        txn = self._store.kv.begin(write=True)
        for key in keys:
            old = txn.get(layout.DAMAGE, key)
            if old is not None:
                txn.put(layout.DAMAGE, key, layout.FAULT.pack(*(tuple(layout.FAULT.unpack(old)[:-1]) + (1,))))
        for key, value in found:
            txn.put(layout.DAMAGE, key, value)
        txn.commit()


def drop(txn, key: bytes) -> None:
    """Within a transaction: this pack is not damaged any more."""
    for row in [found for found, _ in txn.scan(layout.DAMAGE, key, key + b"\xff" * 10)] + [key]:
        txn.delete(layout.DAMAGE, row)


async def each_item(store, catalog, kind: int, take) -> None:
    """Await `take(group, index, item)` for every existing item of a kind, in order. Packs that cannot be read are left out."""
    start, stop = layout.item_key(kind, 0, 0), layout.item_key(kind + 1, 0, 0)
    while True:
        found = catalog.end(layout.PACKS, start, stop)
        if found is None:
            return
        start = found[0] + b"\0"
        _, group, first = layout.parse_item_key(found[0])
        row = layout.PACK.unpack(found[1])
        try:
            pack = await store.packs.load(row)
            for position in range(row.count):
                if catalog.references(layout.item_key(kind, group, first + position)) >= 0:
                    await take(group, first + position, pack.item(position))
        except (HalError, Refusal):
            pass  # damaged itself: the scrub notes it
        await sleep_ms(0)
