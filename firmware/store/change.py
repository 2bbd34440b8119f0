"""What a backup has added since its last checkpoint: kept in memory, bounded, applied to the catalog in one transaction."""

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal


class Change:
    """Counts of references and live bytes as differences, packs in the order they came."""

    def __init__(self):
        self.packs = []  # (kind, group, first, segment, offset, length, count, bytes on disk)
        self.data = []  # of those, the DATA packs: (first, count, row)
        self.items = []  # item keys of new file objects and nodes
        self.references = {}  # item number -> count added
        self.live = {}  # (group, first) of a DATA pack -> count added
        self.rfe = []  # (CRC key, rfe entry)
        self.grants = []  # grant keys
        self.bytes = 0

    def size(self) -> int:
        """Catalog rows that applying it will write."""
        return len(self.packs) + len(self.items) + len(self.references) + len(self.live) + len(self.rfe) + len(self.grants)

    def refer(self, item: int) -> None:
        self.references[item] = self.references.get(item, 0) + 1

    def need(self, group: int, first: int, count: int = 1) -> None:
        self.live[(group, first)] = self.live.get((group, first), 0) + count

    def apply(self, catalog, live_bytes: dict) -> None:
        """Write everything; add the bytes that segments now hold to `live_bytes`. Raises Refusal NOT_FOUND."""
        txn = catalog.txn
        for kind, group, first, segment, offset, length, count, taken in self.packs:
            live = 0 if kind == packs.DATA else count
            catalog.put_pack(kind, group, first, (segment, offset, length, count, live))
            live_bytes[segment] = live_bytes.get(segment, 0) + taken
        zero = layout.NUMBER.pack(0)
        for key in self.items:
            txn.put(layout.REFS, key, zero)
        for item, count in self.references.items():
            catalog.add_references(layout.number_item_key(item), count)
        for (group, first), count in self.live.items():
            found = catalog.pack_of(packs.DATA, group, first)
            if found is None or found[0] != first:  # nothing holds chunks that a file object only names
                raise Refusal("NOT_FOUND", "chunk %d of BDF %d was freed meanwhile: send the file again" % (first, group))
            row = found[1]
            catalog.put_pack(packs.DATA, group, first, tuple(row[:-1]) + (row.live + count,))
        for key, entry in self.rfe:
            txn.put(layout.RFE, key, entry)
        for key in self.grants:
            txn.put(layout.GRANTS, key, b"")
