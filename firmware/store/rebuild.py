"""Makes the catalog anew from the segments alone: `disk rebuild`. Called by the appliance while no store is open.

Three passes. The first reads every segment's footer and finds the newest MAP, which says which segments hold nothing of worth. The
second enters packs, views and clients; of two copies the newer good one wins. The third counts references from the views
(tally.py) and drops what nothing needs. The result counts as a catalog only with its last transaction, so a cut costs the work
and nothing else. Backups that were under way are forgotten: their agents begin anew.
"""

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import pack as packs
from firmware.formats.record import FormatError
from firmware.store.catalog import Catalog
from firmware.store.log import record_bytes
from firmware.store.packs import Packs
from firmware.store.rebuild_choice import Choice
from firmware.store.rebuild_count import Count
from firmware.store.rebuild_end import end
from firmware.store.rebuild_segments import Segments
from firmware.store.rebuild_work import SLICE, WORK
from hal.loop import sleep_ms

TABLES = layout.TABLES + (WORK,)


def _newest(rows) -> int:
    """The highest BDF id of a pack in these footer rows."""
    return max([0] + [row[5] for row in rows if row[0] == disk_format.PACK])


class Rebuild:
    """`kv` is empty and has TABLES. For progress: name, done_bytes, total_bytes, text. `damaged` counts records that failed their check.

    For the parts of it: `segments`, `roster` (sequence number, ROSTER_BODY or None, segment, bytes on disk), `highest` [sequence
    number, client, group].
    """

    name = "rebuild"

    def __init__(self, disk, superblock, processor, kv):
        self.superblock = superblock
        self.kv = kv
        self.segments = Segments(disk, superblock, processor)
        self._packs = Packs(disk, superblock, processor)
        self._newest = (0, None)  # sequence number and MAP_BODY
        self.roster = (0, None, 0, 0)  # sequence number, ROSTER_BODY, segment, bytes on disk
        self.highest = [0, 0, 0]  # sequence number, client, group
        self.done_bytes = 0
        self.total_bytes = 2 * superblock.segments * superblock.segment_bytes
        self.text = "looking for the newest map"
        self.damaged = 0

    async def run(self) -> dict:
        """{"segments", "clients", "views", "packs", "damaged"}. Raises HalError."""
        await self._each(self._look)
        self.text = "entering packs and views"
        await self._each(self._enter)
        await Choice(self.kv, self.segments, self).run()
        self.text = "counting references"
        await Count(self.kv, self._packs, self).run()
        self.text = "dropping what nothing needs"
        return await end(self)

    async def _each(self, work) -> None:
        for segment in range(self.superblock.segments):
            await work(segment, await self.segments.find(segment))
            self.done_bytes += self.superblock.segment_bytes
            await sleep_ms(0)

    # -- first pass

    async def _look(self, segment: int, found) -> None:
        self.highest[0] = max(self.highest[0], found.sequence)
        for row in found.rows:
            if row[0] == disk_format.MAP:
                record = await self.segments.record(segment, row[3])
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
        for at in range(0, len(found.rows), SLICE):
            clashes += self._enter_packs(segment, found.rows[at : at + SLICE])
            await sleep_ms(0)
        for place in clashes:
            await self._settle(place)
        for row in found.rows:
            if row[0] in _READERS or row[0] == disk_format.MAP:
                area = await self._enter_record(segment, row, area)
        txn = self.kv.begin(write=True)
        txn.put(
            layout.SEGMENTS,
            layout.number_key(segment),
            layout.SEGMENT.pack(layout.SEALED, area, found.tail, 0, _newest(found.rows)),
        )
        txn.commit()

    def _enter_packs(self, segment: int, rows) -> list:
        """Those that overlap with what is entered already: [(kind, group, first, pack row)]."""
        clashes = []
        catalog = Catalog(self.kv.begin(write=True))
        for kind, items, count, offset, length, group, first, _ in rows:
            if kind != disk_format.PACK or items not in packs.KINDS or not count:
                continue
            self.highest[2] = max(self.highest[2], group)
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
        txn = self.kv.begin()
        rivals = Catalog(txn).packs(kind, group, first, first + row.count)
        txn.abort()
        ranked = []
        for start, rival in [(first, row)] + rivals:
            record = await self.segments.record(rival.segment, rival.offset)
            ranked.append((1 if record else 0, record[0].sequence if record else 0, start, rival))
        ranked.sort(key=lambda entry: entry[:2], reverse=True)
        catalog = Catalog(self.kv.begin(write=True))
        for start, _ in rivals:
            catalog.delete_pack(kind, group, start)
        for _, _, start, rival in ranked:
            if not catalog.packs(kind, group, start, start + rival.count):
                catalog.put_pack(kind, group, start, rival)
        catalog.txn.commit()

    async def _enter_record(self, segment: int, row, area: int) -> int:
        """Enter a small record; gives the area of the segment, as known by now."""
        found = await self.segments.record(segment, row[3])
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
        self.highest[1] = max(self.highest[1], body.client)
        self.highest[2] = max(self.highest[2], body.group)
        txn = self.kv.begin(write=True)
        if self._is_newer(txn, b"v" + layout.pair_key(body.client, body.view), record, offset):
            place = {"segment": segment, "length": record_bytes(record.length)}
            row = [place[name] if name in place else getattr(body, name) for name, _ in layout.VIEW.rows]
            txn.put(layout.VIEWS, layout.pair_key(body.client, body.view), layout.VIEW.pack(*row))
        group = (body.client, layout.COMMITTED, 0, 0, 0, body.stored_bytes)
        txn.put(layout.GROUPS, layout.number_key(body.group), layout.GROUP.pack(*group))
        txn.commit()

    def _client(self, segment: int, offset: int, record, body) -> None:
        self.highest[1] = max(self.highest[1], body.client)
        txn = self.kv.begin(write=True)
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
        self.highest[1] = max(self.highest[1], body.next_client - 1)
        if record.sequence > self.roster[0]:
            self.roster = (record.sequence, body, segment, record_bytes(record.length))


_READERS = {
    disk_format.COMMIT: ("_commit", disk_format.COMMIT_BODY),
    disk_format.CLIENT: ("_client", disk_format.CLIENT_BODY),
    disk_format.ROSTER: ("_list", disk_format.ROSTER_BODY),
}
