"""Makes the catalog anew from the segments alone: `disk rebuild`. Called by the appliance while no store is open.

Three passes. The first reads every segment's footer and finds the newest MAP, which says which segments hold nothing of worth. The
second enters packs, views and clients; of two copies the newer good one wins. The third counts references from the views
(tally.py) and drops what nothing needs. The result counts as a catalog only with its last transaction, so a cut costs the work
and nothing else. Backups that were under way are forgotten: their agents begin anew.
"""

import os

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import pack as packs
from firmware.formats.record import FormatError
from firmware.store.catalog import Catalog
from firmware.store.log import record_bytes
from firmware.store.packs import Packs
from firmware.store.rebuild_count import Count
from firmware.store.rebuild_segments import Segments
from firmware.store.tally import needed_bytes
from hal.loop import sleep_ms

WORK = (
    "work"  # what is needed only meanwhile: (client, view) -> sequence number of its COMMIT; client -> of its CLIENT, and place
)
TABLES = layout.TABLES + (WORK,)

_SLICE = 1024
_MARGIN = 1 << 16  # groups above the highest found that are not given out: agents may remember backups of which nothing is left


def _newest(rows) -> int:
    """The highest BDF id of a pack in these footer rows."""
    return max([0] + [row[5] for row in rows if row[0] == disk_format.PACK])


def _weighed(value: bytes, live: int) -> bytes:
    """A SEGMENT row with so many live bytes."""
    row = layout.SEGMENT.unpack(value)
    return layout.SEGMENT.pack(row.state, row.area, row.tail, live, row.newest)


class Rebuild:
    """`kv` is empty and has TABLES. For progress: name, done_bytes, total_bytes, text. `damaged` counts records that failed their check."""

    name = "rebuild"

    def __init__(self, disk, superblock, processor, kv):
        self._superblock = superblock
        self._kv = kv
        self._segments = Segments(disk, superblock, processor)
        self._packs = Packs(disk, superblock, processor)
        self._newest = (0, None)  # sequence number and MAP_BODY
        self._roster = (0, None, 0, 0)  # sequence number, ROSTER_BODY, segment, bytes on disk
        self._highest = [0, 0, 0]  # sequence number, client, group
        self.done_bytes = 0
        self.total_bytes = 2 * superblock.segments * superblock.segment_bytes
        self.text = "looking for the newest map"
        self.damaged = 0

    async def run(self) -> dict:
        """{"segments", "clients", "views", "packs", "damaged"}. Raises HalError."""
        await self._each(self._look)
        self.text = "entering packs and views"
        await self._each(self._enter)
        await self._choose()
        self.text = "counting references"
        await self._open_ends()
        await Count(self._kv, self._packs, self).run()
        self.text = "dropping what nothing needs"
        await self._prune(layout.PACKS, lambda txn, key, value: layout.PACK.unpack(value).live == 0)
        await self._prune(layout.GROUPS, _is_empty)
        await self._weigh()
        await self._prune(WORK, lambda txn, key, value: True)
        return self._finish()

    async def _each(self, work) -> None:
        for segment in range(self._superblock.segments):
            await work(segment, await self._segments.find(segment))
            self.done_bytes += self._superblock.segment_bytes
            await sleep_ms(0)

    # -- first pass

    async def _look(self, segment: int, found) -> None:
        self._highest[0] = max(self._highest[0], found.sequence)
        for row in found.rows:
            if row[0] == disk_format.MAP:
                record = await self._segments.record(segment, row[3])
                if record is not None and record[0].sequence > self._newest[0]:
                    self._newest = (record[0].sequence, disk_format.MAP_BODY.unpack(bytes(record[1])))

    def _is_void(self, segment: int) -> bool:
        used = self._newest[1].used if self._newest[1] is not None else b""
        return segment >> 3 < len(used) and not used[segment >> 3] >> (segment & 7) & 1

    # -- second pass

    async def _enter(self, segment: int, found) -> None:
        if self._is_void(segment) or not found.rows:
            return
        area = layout.DELTA
        clashes = []
        for at in range(0, len(found.rows), _SLICE):
            clashes += self._enter_packs(segment, found.rows[at : at + _SLICE])
            await sleep_ms(0)
        for place in clashes:
            await self._settle(place)
        for row in found.rows:
            if row[0] in _READERS or row[0] == disk_format.MAP:
                area = await self._enter_record(segment, row, area)
        txn = self._kv.begin(write=True)
        txn.put(
            layout.SEGMENTS,
            layout.number_key(segment),
            layout.SEGMENT.pack(layout.SEALED, area, found.tail, 0, _newest(found.rows)),
        )
        txn.commit()

    def _enter_packs(self, segment: int, rows) -> list:
        """Those that overlap with what is entered already: [(kind, group, first, pack row)]."""
        clashes = []
        catalog = Catalog(self._kv.begin(write=True))
        for kind, items, count, offset, length, group, first, _ in rows:
            if kind != disk_format.PACK or items not in packs.KINDS or not count:
                continue
            self._highest[2] = max(self._highest[2], group)
            row = layout.PACK.tuple(segment, offset, length, count, 0)
            if catalog.packs(items, group, first, first + count):
                clashes.append((items, group, first, row))
            else:
                catalog.put_pack(items, group, first, row)
        catalog.txn.commit()
        return clashes

    async def _settle(self, place) -> None:
        """Of packs that overlap the good ones stay, and of those the newer ones."""
        kind, group, first, row = place
        txn = self._kv.begin()
        rivals = Catalog(txn).packs(kind, group, first, first + row.count)
        txn.abort()
        ranked = []
        for start, rival in [(first, row)] + rivals:
            record = await self._segments.record(rival.segment, rival.offset)
            ranked.append((1 if record else 0, record[0].sequence if record else 0, start, rival))
        ranked.sort(key=lambda entry: entry[:2], reverse=True)
        catalog = Catalog(self._kv.begin(write=True))
        for start, _ in rivals:
            catalog.delete_pack(kind, group, start)
        for _, _, start, rival in ranked:
            if not catalog.packs(kind, group, start, start + rival.count):
                catalog.put_pack(kind, group, start, rival)
        catalog.txn.commit()

    async def _enter_record(self, segment: int, row, area: int) -> int:
        """Enter a small record; gives the area of the segment, as known by now."""
        found = await self._segments.record(segment, row[3])
        if found is None:
            self.damaged += 1
            return area
        try:
            if row[0] == disk_format.MAP:
                return disk_format.MAP_BODY.unpack(bytes(found[1])).area
            name, body = _READERS[row[0]]
            getattr(self, name)(segment, row[3], found[0], body.unpack(bytes(found[1])))
        except FormatError:
            self.damaged += 1
        return area

    def _is_newer(self, txn, key: bytes, record, offset: int) -> bool:
        """Whether nothing newer with this key was entered; notes it."""
        old = txn.get(WORK, key)
        if old is not None and int.from_bytes(old[:8], "little") > record.sequence:
            return False
        txn.put(WORK, key, record.sequence.to_bytes(8, "little") + layout.pair_key(record.segment, offset))
        return True

    def _commit(self, segment: int, offset: int, record, body) -> None:
        self._highest[1] = max(self._highest[1], body.client)
        self._highest[2] = max(self._highest[2], body.group)
        txn = self._kv.begin(write=True)
        if self._is_newer(txn, b"v" + layout.pair_key(body.client, body.view), record, offset):
            place = {"segment": segment, "length": record_bytes(record.length)}
            row = [place[name] if name in place else getattr(body, name) for name, _ in layout.VIEW.rows]
            txn.put(layout.VIEWS, layout.pair_key(body.client, body.view), layout.VIEW.pack(*row))
        group = (body.client, layout.COMMITTED, 0, 0, 0, body.stored_bytes)
        txn.put(layout.GROUPS, layout.number_key(body.group), layout.GROUP.pack(*group))
        txn.commit()

    def _client(self, segment: int, offset: int, record, body) -> None:
        self._highest[1] = max(self._highest[1], body.client)
        txn = self._kv.begin(write=True)
        if self._is_newer(txn, b"c" + layout.number_key(body.client), record, offset):
            row = (
                body.uuid,
                body.token_hash,
                body.created_ns,
                body.name,
                body.next_view,
                0,
                segment,
                record_bytes(record.length),
            )
            txn.put(layout.CLIENTS, layout.number_key(body.client), layout.CLIENT.pack(*row))
        txn.commit()

    def _list(self, segment: int, offset: int, record, body) -> None:
        self._highest[1] = max(self._highest[1], body.next_client - 1)
        if record.sequence > self._roster[0]:
            self._roster = (record.sequence, body, segment, record_bytes(record.length))

    # -- what there is of what was found

    async def _choose(self) -> None:
        """Drop removed clients, deleted views; learn who owns groups whose COMMIT is gone."""
        txn = self._kv.begin()
        clients = list(Catalog(txn).clients())
        txn.abort()
        left = {}
        for client, row in clients:
            if self._is_removed(client):
                self._remove(client)
            else:
                left[client] = True
                await self._choose_views(client, row)
        await self._prune(layout.VIEWS, lambda txn, key, value: self._is_removed(int.from_bytes(key[:4], "big")))
        self._stand_in(left)

    def _stand_in(self, known: dict) -> None:
        """Views whose CLIENT record was damaged get a client that is not paired, so that somebody can be given them."""
        catalog = Catalog(self._kv.begin(write=True))
        newest = {}
        for key, _ in catalog.txn.scan(layout.VIEWS):
            client = int.from_bytes(key[:4], "big")
            if client not in known:
                newest[client] = int.from_bytes(key[4:], "big")
        for client, view in newest.items():
            self.damaged += 1
            name = b"recovered-%d" % client
            row = (os.urandom(16), bytes(32), 0, name + bytes(64 - len(name)), view + 1, 0, 0, 0)
            catalog.put_client(client, row)
        catalog.txn.commit()

    def _is_removed(self, client: int) -> bool:
        body = self._roster[1]
        return body is not None and client < body.next_client and (client,) not in body.clients

    def _remove(self, client: int) -> None:
        txn = self._kv.begin(write=True)
        txn.delete(layout.CLIENTS, layout.number_key(client))
        txn.commit()

    async def _choose_views(self, client: int, row) -> None:
        txn = self._kv.begin()
        place = txn.get(WORK, b"c" + layout.number_key(client))[8:]
        found = [view for view, _ in Catalog(txn).views(client)]
        txn.abort()
        record = await self._segments.record(int.from_bytes(place[:4], "big"), int.from_bytes(place[4:], "big"))
        body = disk_format.CLIENT_BODY.unpack(bytes(record[1]))
        listed = {number for (number,) in body.views}
        catalog = Catalog(self._kv.begin(write=True))
        for view in found:
            if view < body.next_view and view not in listed:
                catalog.txn.delete(layout.VIEWS, layout.pair_key(client, view))
        for (group,) in body.groups:
            self._highest[2] = max(self._highest[2], group)
            if catalog.group(group) is None:
                catalog.put_group(group, (client, layout.COMMITTED, 0, 0, 0, 0))
        next_view = max([body.next_view - 1] + found) + 1
        catalog.put_client(client, tuple(row[:4]) + (next_view,) + tuple(row[5:]))
        catalog.txn.commit()

    async def _open_ends(self) -> None:
        """GROUP.next_*: behind the last pack of each kind, while those that nothing needs are still there."""
        start = b""
        while True:
            catalog = Catalog(self._kv.begin(write=True))
            rows = []
            scan = catalog.txn.scan(layout.GROUPS, start)
            for key, value in scan:
                rows.append((key, layout.GROUP.unpack(value)))
                if len(rows) == _SLICE:
                    scan.close()
                    break
            for key, row in rows:
                group = int.from_bytes(key, "big")
                ends = tuple([_end(catalog, kind, group) for kind in packs.KINDS])
                catalog.put_group(group, tuple(row[:2]) + ends + (row.stored_bytes,))
            catalog.txn.commit()
            if len(rows) < _SLICE:
                return
            start = rows[-1][0] + b"\0"
            await sleep_ms(0)

    # -- the end

    async def _prune(self, table: str, unwanted) -> None:
        """Delete the rows for which `unwanted(txn, key, value)`, in small transactions."""
        start = b""
        while start is not None:
            txn = self._kv.begin(write=True)
            keys, start = _slice(txn, table, start, unwanted)
            for key in keys:
                txn.delete(table, key)
            txn.commit()
            await sleep_ms(0)

    async def _weigh(self) -> None:
        """SEGMENT.live; a segment without any is free."""
        txn = self._kv.begin()
        try:
            needed = await needed_bytes(txn, self._superblock.segments, record_bytes, False)
        finally:
            txn.abort()
        if self._roster[1] is not None:
            needed[self._roster[2]] += self._roster[3]
        for at in range(0, self._superblock.segments, _SLICE):
            txn = self._kv.begin(write=True)
            for segment in range(at, min(at + _SLICE, self._superblock.segments)):
                key = layout.number_key(segment)
                value = txn.get(layout.SEGMENTS, key)
                if value and needed[segment]:
                    txn.put(layout.SEGMENTS, key, _weighed(value, needed[segment]))
                elif value:
                    txn.delete(layout.SEGMENTS, key)
            txn.commit()
            await sleep_ms(0)

    def _finish(self) -> dict:
        txn = self._kv.begin(write=True)
        counts = {name: sum([1 for _ in txn.scan(table)]) for name, table in _COUNTED}
        sequence, client, group = self._highest
        numbers = (
            (layout.META_EPOCH, sequence >> disk_format.SEQUENCE_BITS),
            (layout.META_CLIENT, client),
            (layout.META_GROUP, min(group + _MARGIN, 0xFFFFFFFF)),
        )
        for name, number in numbers:
            txn.put(layout.META, name, layout.NUMBER.pack(number))
        if self._roster[1] is not None:
            txn.put(layout.META, layout.META_ROSTER, layout.PLACE.pack(*self._roster[2:]))
        txn.put(layout.META, layout.META_UUID, self._superblock.uuid)  # from here on it is a catalog
        txn.commit()
        return dict(counts, damaged=self.damaged)


_READERS = {
    disk_format.COMMIT: ("_commit", disk_format.COMMIT_BODY),
    disk_format.CLIENT: ("_client", disk_format.CLIENT_BODY),
    disk_format.ROSTER: ("_list", disk_format.ROSTER_BODY),
}

_COUNTED = (("segments", layout.SEGMENTS), ("clients", layout.CLIENTS), ("views", layout.VIEWS), ("packs", layout.PACKS))


def _end(catalog, kind: int, group: int) -> int:
    """Index behind the last pack of a kind in a group."""
    found = catalog.end(layout.PACKS, layout.item_key(kind, group, 0), layout.item_key(kind, group + 1, 0), True)
    return int.from_bytes(found[0][5:], "big") + layout.PACK.unpack(found[1]).count if found else 0


def _is_empty(txn, key: bytes, value: bytes) -> bool:
    """Whether a group has no packs left."""
    catalog = Catalog(txn)
    group = int.from_bytes(key, "big")
    spans = [(layout.item_key(kind, group, 0), layout.item_key(kind, group + 1, 0)) for kind in packs.KINDS]
    return not any([catalog.end(layout.PACKS, start, stop) for start, stop in spans])


def _slice(txn, table: str, start: bytes, unwanted):
    """(unwanted keys among the next rows, key to go on from or None)."""
    keys = []
    seen = 0
    scan = txn.scan(table, start)
    for key, value in scan:
        seen += 1
        if unwanted(txn, key, value):
            keys.append(key)
        if seen == _SLICE:
            scan.close()
            return keys, key + b"\0"
    return keys, None
