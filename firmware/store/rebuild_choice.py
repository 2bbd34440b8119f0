"""What counts of all that was found in the segments: clients, views, groups. The step of rebuild.py after the segments were read."""

import os

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import pack as packs
from firmware.store.catalog import Catalog
from firmware.store.rebuild_work import SLICE, WORK, prune
from hal.loop import sleep_ms


class Choice:
    """`found` (rebuild.Rebuild): its roster, highest numbers and count of damaged records."""

    def __init__(self, kv, segments, found):
        self._kv = kv
        self._segments = segments
        self._found = found

    async def run(self) -> None:
        """Drop removed clients, deleted views; learn who owns groups whose COMMIT is gone, and where each group ends."""
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
        await prune(self._kv, layout.VIEWS, lambda txn, key, value: self._is_removed(int.from_bytes(key[:4], "big")))
        self._stand_in(left)
        await self._open_ends()

    def _stand_in(self, known: dict) -> None:
        """Views whose CLIENT record was damaged get a client that is not paired, so that somebody can be given them."""
        catalog = Catalog(self._kv.begin(write=True))
        newest = {}
        for key, _ in catalog.txn.scan(layout.VIEWS):
            client = int.from_bytes(key[:4], "big")
            if client not in known:
                newest[client] = int.from_bytes(key[4:], "big")
        for client, view in newest.items():
            self._found.damaged += 1
            name = b"recovered-%d" % client
            row = (os.urandom(16), bytes(32), 0, name + bytes(64 - len(name)), view + 1, 0, 0, 0)
            catalog.put_client(client, row)
        catalog.txn.commit()

    def _is_removed(self, client: int) -> bool:
        body = self._found.roster[1]
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
            self._found.highest[2] = max(self._found.highest[2], group)
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
                if len(rows) == SLICE:
                    scan.close()
                    break
            for key, row in rows:
                group = int.from_bytes(key, "big")
                ends = tuple([_end(catalog, kind, group) for kind in packs.KINDS])
                catalog.put_group(group, tuple(row[:2]) + ends + (row.stored_bytes,))
            catalog.txn.commit()
            if len(rows) < SLICE:
                return
            start = rows[-1][0] + b"\0"
            await sleep_ms(0)


def _end(catalog, kind: int, group: int) -> int:
    """Index behind the last pack of a kind in a group."""
    found = catalog.end(layout.PACKS, layout.item_key(kind, group, 0), layout.item_key(kind, group + 1, 0), True)
    return int.from_bytes(found[0][5:], "big") + layout.PACK.unpack(found[1]).count if found else 0
