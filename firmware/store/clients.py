"""The clients of a store: who may back up and read. Each change is a CLIENT record in a segment and a catalog row. Used by store.py."""

import asyncio
import os

from firmware.formats import catalog as layout
from firmware.formats import disk
from firmware.formats.refusal import Refusal
from firmware.store.catalog import Catalog
from hal.loop import sleep_ms

_NAME_BYTES = 64
_SLICE = 512  # groups looked at in one go
UNPAIRED = bytes(32)


class Client:
    """`id` (number), `uuid`, `name` (str), `token_hash` (32 zero bytes while unpaired), `created_ns`."""

    def __init__(self, number: int, row):
        self.id = number
        self.uuid = row.uuid
        self.name = row.name.rstrip(b"\0").decode()
        self.token_hash = row.token_hash
        self.created_ns = row.created_ns

    def paired(self) -> bool:
        return self.token_hash != UNPAIRED


def check_name(name: str) -> bytes:
    """The name as its field. Raises Refusal LIMIT."""
    raw = name.encode()
    allowed = all([c.isalpha() or c.isdigit() or c in "-_." for c in name])
    if not 0 < len(raw) < _NAME_BYTES or not allowed:
        raise Refusal("LIMIT", "client name %r: expected 1 to %d letters, digits, dots, dashes" % (name, _NAME_BYTES - 1))
    return raw + bytes(_NAME_BYTES - len(raw))


class Clients:
    def __init__(self, store):
        self._store = store
        self._lock = asyncio.Lock()  # a record lists what the transaction of the one before it left

    def all(self) -> list:
        txn = self._store.kv.begin()
        try:
            return [Client(number, row) for number, row in Catalog(txn).clients()]
        finally:
            txn.abort()

    def by_uuid(self, uuid: bytes):
        return self._first(lambda client: client.uuid == uuid)

    def by_name(self, name: str):
        return self._first(lambda client: client.name == name)

    def _first(self, wanted):
        for client in self.all():
            if wanted(client):
                return client
        return None

    async def add(self, name: str):
        """Raises Refusal LIMIT if the name is taken or not allowed."""
        field = check_name(name)
        if self.by_name(name) is not None:
            raise Refusal("LIMIT", "client %s exists already" % name)
        uuid = os.urandom(16)
        numbers = []
        await self._store.apply(lambda catalog, live: numbers.append(catalog.next_number(layout.META_CLIENT)))
        row = layout.CLIENT.tuple(uuid, UNPAIRED, self._store.clock.now_ns(), field, 1, 0, 0, 0)
        await self._write(numbers[0], row)
        return self.by_uuid(uuid)

    async def set_token(self, number: int, token_hash: bytes) -> None:
        """Raises Refusal NOT_FOUND."""
        await self._write(number, self._row(number), token_hash)

    async def delete_views(self, number: int, views) -> None:
        """These views go, all at once. Raises Refusal NOT_FOUND."""
        txn = self._store.kv.begin()
        missing = [view for view in views if Catalog(txn).view(number, view) is None]
        txn.abort()
        if missing:
            raise Refusal("NOT_FOUND", "no view %d" % missing[0])
        await self._write(number, self._row(number), None, views)

    async def merge_views(self, number: int, without, record: bytes, work) -> None:
        """The views `without` go and `work(catalog, live, segment, length)` puts down the one they were folded into, whose COMMIT
        body is `record`: all of it or nothing. Raises what `work` raises; Refusal NOT_FOUND, FULL."""
        log = self._store.log
        async with self._lock:
            row = self._row(number)
            body = await self._body(number, row, row.token_hash, without)
            segment, _, taken = await log.append(layout.MERGE, disk.COMMIT, record, reserve=0)
            try:
                place = await log.append(layout.FULL, disk.CLIENT, body, reserve=0)
            except BaseException:
                self._store.segments.settled(segment)
                raise

            def both(catalog, live):
                work(catalog, live, segment, taken)
                self._replace(catalog, live, number, row, row.token_hash, without, (place[0], place[2]))

            await self._store.apply(both, None, (segment, place[0]))

    async def rewrite(self, number: int) -> None:
        """The client's record anew, as the segment that holds it is to be freed. Raises Refusal NOT_FOUND."""
        await self._write(number, self._row(number))

    async def rewrite_roster(self) -> None:
        """As `rewrite`, for the list of clients."""
        async with self._lock:
            segment, _, taken = await self._store.log.append(layout.FULL, disk.ROSTER, self._roster(0), reserve=0)
            await self._store.apply(
                lambda catalog, live: catalog.place(live, layout.META_ROSTER, segment, taken), None, (segment,)
            )

    def _row(self, number: int):
        txn = self._store.kv.begin()
        row = Catalog(txn).client(number)
        txn.abort()
        if row is None:
            raise Refusal("NOT_FOUND", "no such client")
        return row

    async def _write(self, number: int, row, token_hash=None, without=()) -> None:
        """Record, flush, row: a cut leaves the old or the new client, with or without those views."""
        token = token_hash or row.token_hash
        async with self._lock:
            body = await self._body(number, row, token, without)
            segment, _, taken = await self._store.log.append(layout.FULL, disk.CLIENT, body, reserve=0)

            def work(catalog, live):
                self._replace(catalog, live, number, row, token, without, (segment, taken))

            await self._store.apply(work, None, (segment,))

    def _replace(self, catalog, live: dict, number: int, row, token: bytes, without, place) -> None:
        """Within a transaction: the client's record lies at `place` (segment, bytes), and those views go."""
        for view in without:
            self._store.drop_view(catalog, live, number, view)
        now = catalog.client(number) or row
        catalog.put_client(number, (now.uuid, token, now.created_ns, now.name, now.next_view, now.pending) + place)
        live[place[0]] = live.get(place[0], 0) + place[1]
        if now.length:
            live[now.segment] = live.get(now.segment, 0) - now.length

    async def _body(self, number: int, row, token: bytes, without) -> bytes:
        """CLIENT_BODY, but for the views that are being deleted. Only a commit may go on meanwhile: its view is next_view."""
        txn = self._store.kv.begin()
        try:
            catalog = Catalog(txn)
            now = catalog.client(number) or row
            views = [(view,) for view, _ in catalog.views(number) if view not in without and view < now.next_view]
            groups = []
            for seen, (key, value) in enumerate(txn.scan(layout.GROUPS)):
                if layout.GROUP.unpack(value).client == number:
                    groups.append((int.from_bytes(key, "big"),))
                if seen % _SLICE == _SLICE - 1:
                    await sleep_ms(0)
            return disk.CLIENT_BODY.pack(number, row.uuid, token, row.created_ns, row.name, now.next_view, views, groups)
        finally:
            txn.abort()

    def change(self, catalog, number: int, pending=None, next_view=None) -> None:
        """Within a transaction: set what is given."""
        row = catalog.client(number)
        if row is None:
            return
        catalog.put_client(
            number,
            tuple(row[:4])
            + (
                row.next_view if next_view is None else next_view,
                row.pending if pending is None else pending,
                row.segment,
                row.length,
            ),
        )

    async def remove(self, number: int) -> None:
        """The client and all its views go. Raises Refusal NOT_FOUND, BUSY while it backs up."""
        async with self._lock:
            await self._remove(number, self._row(number))
        self._store.collector.wake()

    async def _remove(self, number: int, row) -> None:
        store = self._store
        if number in store.running:
            raise Refusal("BUSY", "a backup of this client is running: wait, or let it end", 60)
        segment, _, taken = await store.log.append(layout.FULL, disk.ROSTER, self._roster(number), reserve=0)

        def work(catalog, live):
            catalog.place(live, layout.META_ROSTER, segment, taken)
            for view in [view for view, _ in catalog.views(number)]:
                store.drop_view(catalog, live, number, view)
            if row.pending:
                store._abandon(catalog, number, row.pending)
            catalog.txn.delete(layout.CLIENTS, layout.number_key(number))
            live[row.segment] = live.get(row.segment, 0) - row.length

        await store.apply(work, None, (segment,))

    def _roster(self, without: int) -> bytes:
        txn = self._store.kv.begin()
        catalog = Catalog(txn)
        left = [(number,) for number, _ in catalog.clients() if number != without]
        body = disk.ROSTER_BODY.pack(catalog.number(layout.META_CLIENT) + 1, left)
        txn.abort()
        return body
