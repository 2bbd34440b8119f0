"""The tally of a rebuild: what the views reach exists, and is entered. Used by rebuild.py."""

from firmware.formats import catalog as layout
from firmware.store import intake
from firmware.store.tally import Latest, Tally


class Count(Tally):
    """`report.damaged` counts the packs that could not be read."""

    def __init__(self, kv, loader, report):
        super().__init__(Latest(kv), kv, loader)
        self._report = report
        self._puts = []

    def exists(self, number: int, key: bytes) -> bool:
        return self.counted(number)

    def grant(self, group: int, index: int, client: int) -> None:
        self._puts.append((layout.GRANTS, layout.grant_key(group, index, client), b""))

    def offer(self, group: int, index: int, row) -> None:
        if intake.offered(row):
            self._puts.append((layout.RFE, layout.number_key(row.crc), intake.rfe_entry(group, index, row)))

    def orphan(self, group: int, client: int) -> None:
        row = layout.GROUP.pack(client, layout.COMMITTED, 0, 0, 0, 0)
        self._puts.append((layout.GROUPS, layout.number_key(group), row))

    def unreadable(self, kind: int, group: int, first: int, row, error) -> None:
        self._report.damaged += 1

    def flushing(self, txn) -> None:
        for table, key, value in self._puts:
            txn.put(table, key, value)
        self._puts = []
