"""Typed access to the catalog within one transaction, so that keys and values are spelled in one place."""

from firmware.formats import catalog as layout
from firmware.formats import pack as packs


class Catalog:
    """One transaction's view of the tables. `txn` is a hal.kv.Txn; finish it yourself."""

    def __init__(self, txn):
        self.txn = txn
        self._found = {}  # kind -> (group, first, row) found last: neighbours are asked for next
        self._owner = (None, None)  # group whose client was asked for last, and that client: groups never change hands

    def end(self, table: str, start: bytes, stop: bytes, last: bool = False):
        """The first (or last) (key, value) of a range, or None. Closes the scan: MicroPython would keep its cursor."""
        scan = self.txn.scan(table, start, stop, last)
        for pair in scan:
            scan.close()
            return pair
        return None

    def number(self, name: bytes) -> int:
        value = self.txn.get(layout.META, name)
        return layout.NUMBER.unpack(value).value if value else 0

    def next_number(self, name: bytes) -> int:
        """Count up; the first is 1."""
        number = self.number(name) + 1
        self.txn.put(layout.META, name, layout.NUMBER.pack(number))
        return number

    def place(self, live: dict, name: bytes, segment: int, length: int) -> None:
        """A record of which only the newest counts lies there now: `live` bytes of it and of the one before it are changed."""
        old = self.txn.get(layout.META, name)
        if old is not None:
            row = layout.PLACE.unpack(old)
            live[row.segment] = live.get(row.segment, 0) - row.length
        self.txn.put(layout.META, name, layout.PLACE.pack(segment, length))
        live[segment] = live.get(segment, 0) + length

    def client(self, client: int):
        value = self.txn.get(layout.CLIENTS, layout.number_key(client))
        return layout.CLIENT.unpack(value) if value else None

    def put_client(self, client: int, row) -> None:
        self.txn.put(layout.CLIENTS, layout.number_key(client), layout.CLIENT.pack(*row))

    def clients(self):
        """Generator of (client, row)."""
        for key, value in self.txn.scan(layout.CLIENTS):
            yield int.from_bytes(key, "big"), layout.CLIENT.unpack(value)

    def group(self, group: int):
        value = self.txn.get(layout.GROUPS, layout.number_key(group))
        return layout.GROUP.unpack(value) if value else None

    def put_group(self, group: int, row) -> None:
        self.txn.put(layout.GROUPS, layout.number_key(group), layout.GROUP.pack(*row))

    def view(self, client: int, view: int):
        value = self.txn.get(layout.VIEWS, layout.pair_key(client, view))
        return layout.VIEW.unpack(value) if value else None

    def views(self, client: int, after: int = 0):
        """Generator of (view, row) with view > after."""
        for key, value in self.txn.scan(layout.VIEWS, layout.pair_key(client, after + 1), layout.pair_key(client + 1, 0)):
            yield int.from_bytes(key[4:], "big"), layout.VIEW.unpack(value)

    def references(self, key: bytes) -> int:
        """How often the item under this item_key is referred to; -1 if it does not exist."""
        value = self.txn.get(layout.REFS, key)
        return int.from_bytes(value, "little") if value is not None else -1

    def add_references(self, key: bytes, delta: int) -> None:
        """Change the count of an existing item; at 0 it becomes garbage, above it no longer is."""
        count = self.references(key)
        if count < 0:
            return  # freed already: only its own group's abandoning does that
        self.txn.put(layout.REFS, key, layout.count_value(count + delta))
        if count + delta == 0:
            self.txn.put(layout.GARBAGE, key, b"")
        elif count == 0:
            self.txn.delete(layout.GARBAGE, key)

    def pack_of(self, kind: int, group: int, index: int):
        """(first, row) of the pack that holds the item, or None."""
        memo = self._found.get(kind)
        if memo is not None and memo[0] == group and memo[1] <= index < memo[1] + memo[2].count:
            return memo[1], memo[2]
        found = self.end(layout.PACKS, layout.item_key(kind, group, 0), _behind(kind, group, index + 1), True)
        if found is None:
            return None
        first = int.from_bytes(found[0][5:], "big")
        row = layout.PACK.unpack(found[1])
        if index >= first + row.count:
            return None
        self._found[kind] = (group, first, row)
        return first, row

    def packs(self, kind: int, group: int, first: int, end: int):
        """List of (first, row) of the packs that hold any of the items first .. end-1, in order. Gaps are left out."""
        start = self.pack_of(kind, group, first)
        if start is not None and end <= start[0] + start[1].count:
            return [start]
        found = []
        at = start[0] if start else first
        for key, value in self.txn.scan(layout.PACKS, layout.item_key(kind, group, at), layout.item_key(kind, group, end)):
            found.append((int.from_bytes(key[5:], "big"), layout.PACK.unpack(value)))
        return found

    def each_pack(self, kind: int, group: int, first: int, end: int):
        """Generator of the same, for any number of packs. Close it: MicroPython would keep its cursor."""
        start = self.pack_of(kind, group, first)
        if start is not None:
            yield start
            first = start[0] + start[1].count
        if first >= end:
            return
        entries = self.txn.scan(layout.PACKS, layout.item_key(kind, group, first), _behind(kind, group, end))
        try:
            for key, value in entries:
                yield int.from_bytes(key[5:], "big"), layout.PACK.unpack(value)
        finally:
            entries.close()

    def put_pack(self, kind: int, group: int, first: int, row) -> None:
        self._found.pop(kind, None)
        self.txn.put(layout.PACKS, layout.item_key(kind, group, first), layout.PACK.pack(*row))

    def delete_pack(self, kind: int, group: int, first: int) -> None:
        self._found.pop(kind, None)
        self.txn.delete(layout.PACKS, layout.item_key(kind, group, first))

    def owned(self, client: int, group: int) -> bool:
        """Whether the group is this client's."""
        if self._owner[0] != group:
            row = self.group(group)
            owned = row is not None and row.state != layout.ABANDONED  # its items are being freed, whoever refers to them
            self._owner = (group, row.client if owned else None)
        return self._owner[1] == client

    def granted(self, client: int, kind: int, group: int, index: int) -> bool:
        """Whether the client may refer to and read this item: its own, or a file object it proved to hold."""
        if self.owned(client, group):
            return True
        return kind == packs.FILES and self.txn.get(layout.GRANTS, layout.grant_key(group, index, client)) is not None


def _behind(kind: int, group: int, index: int) -> bytes:
    """Key behind all items of the group below `index`, which may be beyond the last possible one."""
    return layout.item_key(kind, group, index) if index <= 0xFFFFFFFF else layout.item_key(kind, group + 1, 0)
