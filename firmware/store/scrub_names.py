"""Names the files and views that damaged packs hit, for `store damage`: one pass over the nodes, children before parents.

A node refers only to nodes before it, so going up from the damage needs no search: what is hit below is known when a directory is
reached. Names are read from a directory's entries only where something below it is hit.
"""

from firmware.formats import catalog as layout
from firmware.formats import dtf
from firmware.formats import pack as packs
from firmware.formats.record import FormatError
from firmware.store import intake
from firmware.store.catalog import Catalog
from firmware.store.scrub_damage import each_item

_HITS = 16384  # items on the way to damage, over all views
_NAMES = 200  # files named
_SUFFIXES = 16  # damaged files named below one directory


class Names:
    """`run` gives what is hit. `more` is True if not everything could be named."""

    def __init__(self, store, damage):
        self._store = store
        self._damage = damage
        self._hits = {}  # item number -> paths of damage below it, b"" for itself
        self._files = {}  # (client, path) -> [first view, last view, how many]
        self.more = False

    async def run(self) -> dict:
        """{"packs", "files": [{"client", "path", "first_view", "last_view", "views"}], "more"}. Raises HalError."""
        rows = self._damage.rows()
        snapshot = self._store.snapshot()
        try:
            catalog = Catalog(snapshot.txn)
            for key, _, row in rows:
                self._start(catalog, key, row)
            if self._hits:
                await each_item(self._store, catalog, packs.NODES, self._node)
                self._views(catalog)
        finally:
            snapshot.release()
        names = {client.id: client.name for client in self._store.clients()}
        files = [
            {
                "client": names.get(client, "client %d" % client),
                "path": path,
                "first_view": hit[0],
                "last_view": hit[1],
                "views": hit[2],
            }
            for (client, path), hit in sorted(self._files.items())
        ]
        return {"packs": len(rows), "files": files, "more": self.more}

    def _start(self, catalog, key: bytes, row) -> None:
        kind, group, first = layout.parse_item_key(key)
        if kind != packs.DATA:
            for index in range(first, first + row.count):
                if catalog.references(layout.item_key(kind, group, index)) >= 0:
                    self._hit(layout.item_number(kind, group, index), [b""])
            return
        for use, _ in catalog.txn.scan(layout.DAMAGE, key + b"\0", key + b"\xff" * 10):
            _, file_group, index, _ = layout.parse_use_key(use)
            self._hit(layout.item_number(packs.FILES, file_group, index), [b""])

    def _hit(self, number: int, paths: list) -> None:
        if len(self._hits) == _HITS and number not in self._hits:
            self.more = True
            return
        known = self._hits.setdefault(number, [])
        for path in paths:
            if path not in known:
                if len(known) == _SUFFIXES:
                    self.more = True
                    return
                known.append(path)

    async def _node(self, group: int, index: int, item) -> None:
        refs = intake.parse_node(item)
        struck = [layout.item_number(*ref) for ref in refs]
        if not any([number in self._hits for number in struck]):
            return
        mine = layout.item_number(packs.NODES, group, index)
        try:
            for name, number in _named(item):
                for path in self._hits.get(number, ()):
                    self._hit(mine, [name + b"/" + path if name and path else name or path])
        except FormatError:
            self._hit(mine, [b"?"])

    def _views(self, catalog) -> None:
        for key, value in catalog.txn.scan(layout.VIEWS):
            row = layout.VIEW.unpack(value)
            client, view = int.from_bytes(key[:4], "big"), int.from_bytes(key[4:], "big")
            for path in self._hits.get(layout.item_number(packs.NODES, row.root_group, row.root_index), ()):
                self._name(client, text(b"/" + path), view)

    def _name(self, client: int, path: str, view: int) -> None:
        hit = self._files.get((client, path))
        if hit is not None:
            hit[1] = view
            hit[2] += 1
        elif len(self._files) < _NAMES:
            self._files[(client, path)] = [view, view, 1]
        else:
            self.more = True


def _named(item):
    """[(name, item number)] of a node's references; an INDEX passes its parts on under its own name. Raises FormatError."""
    head, at = dtf.NODE.unpack_from(item)
    refs = []
    for _ in range(head.count):
        ref, at = dtf.REF.unpack_from(item, at)
        refs.append(ref)
    found = []
    for ref in refs:
        name = b""
        if head.kind == dtf.LIST:
            row, at = dtf.ENTRY.unpack_from(item, at)
            name = bytes(item[at : at + row.name_bytes])
            at += row.name_bytes + row.target_bytes + row.extras_bytes
        if ref.kind != dtf.NOTHING:
            kind = packs.FILES if ref.kind == dtf.FILE else packs.NODES
            found.append((name, layout.item_number(kind, ref.group, ref.index)))
    return found


def text(path) -> str:
    """A path for people: what is no UTF-8 is escaped."""
    try:
        return bytes(path).decode()
    except UnicodeError:
        return repr(bytes(path))[2:-1]
