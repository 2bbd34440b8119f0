"""Redundant file elimination within one backup: candidates by CRC, then proof that the client holds the file (design, section 7).

The CRC only nominates. A nominee is granted when the client's digest of a random range of the contents, keyed with a fresh nonce and the
file's whole signature, is right. Unknown, refused and absent objects are answered alike, and who asks without proving is soon told
nothing (rfe_budget.py). Objects with holes are not in the index: a challenge names a range of data.
"""

import os
import struct

from firmware.formats import catalog as layout
from firmware.formats import limits, message, rfe
from firmware.formats import pack as packs
from firmware.store.catalog import Catalog
from firmware.store.rfe_prove import Prover
from hal.loop import sleep_ms

_LOOKED_AT = 32  # entries of one CRC: anybody can file any number under any CRC
_YIELD_ROWS = 64
_NONCE_BYTES = 16

# What a client may know of a BDF.
_HIDDEN = 0
_OTHERS = 1
_OWN = 2


class Proofs:
    """What one client may refer to in one backup because it proved to hold it."""

    def __init__(self, store, client: int):
        self._store = store
        self._client = client
        self._allowance = store.budget.of(client)
        self._granted = {}  # item number -> True
        self._fresh = []
        self._batches = []  # (number, nonce, nominees) that await their proofs, oldest first
        self._count = 0
        self._states = {}
        self._left = 0  # files of others that may still be named in this batch

    async def nominate(self, crcs):
        """(batch, nonce, nominees): RFE_NOMINEES for the rows of RFE_ASK."""
        catalog = Catalog(self._store.kv.begin())
        self._states = {}
        self._left = self._allowance.answers()
        found = []
        try:
            for row, crc in enumerate(struct.unpack("<%dI" % (len(crcs) // message.CRC.size), crcs)):
                entries = catalog.txn.values(layout.RFE, layout.number_key(crc))
                if entries:
                    self._name(catalog, row, entries, found)
                if row % _YIELD_ROWS == _YIELD_ROWS - 1:
                    await sleep_ms(0)
        finally:
            catalog.txn.abort()
        self._allowance.named(self._allowance.answers() - self._left)
        return self._batch(b"".join(found))

    def _batch(self, nominees: bytes):
        self._count += 1
        batch = (self._count, os.urandom(_NONCE_BYTES), nominees)
        if nominees:
            self._batches.append(batch)
            del self._batches[: -limits.RFE_BATCHES]
        return batch

    def _name(self, catalog, row: int, entries: bytes, found: list) -> None:
        """Nominees of one row: the client's own, else others'."""
        others = []
        own = []
        for at in range(0, min(len(entries), _LOOKED_AT * rfe.ENTRY.size), rfe.ENTRY.size):
            state = self._state(catalog, struct.unpack_from("<I", entries, at + 4)[0])
            if state:
                (own if state == _OWN else others).append(entries[at : at + rfe.ENTRY.size])
            if len(others) == limits.RFE_NOMINEES or own:
                break
        if others and not own:
            others = others if self._left else []
            self._left -= len(others) and 1
        for entry in own or others:
            found.append(struct.pack("<I", row) + entry + os.urandom(4))

    def _state(self, catalog, group: int) -> int:
        """Another client's backup counts once it is committed."""
        state = self._states.get(group)
        if state is None:
            row = catalog.group(group)
            state = _HIDDEN
            if row is not None and row.state != layout.ABANDONED:
                state = _OWN if row.client == self._client else _HIDDEN if row.state == layout.PENDING else _OTHERS
            self._states[group] = state
        return state

    async def prove(self, number: int, proofs) -> bytes:
        """A byte for each row of RFE_PROVE: 1 if the client may refer to the object now."""
        nonce = nominees = b""
        for at, batch in enumerate(self._batches):
            if batch[0] == number:
                _, nonce, nominees = self._batches.pop(at)
                break
        verdicts = bytearray(len(proofs) // message.PROOF.size)
        pin = self._store.segments.pin()  # what it reads may be moved and freed meanwhile
        catalog = Catalog(self._store.kv.begin())
        self._states = {}
        prover = Prover(self._store, catalog, nonce, lambda group: self._state(catalog, group) == _OWN)
        try:
            await prover.run(nominees, proofs, verdicts, self._allowance.trusted())
        finally:
            prover.close()
            catalog.txn.abort()
            self._store.segments.unpin(pin)
        self._fresh += prover.checked
        self._settle(nominees, proofs, verdicts)
        return bytes(verdicts)

    def _settle(self, nominees, proofs, verdicts) -> None:
        rows = set()
        for position, verdict in enumerate(verdicts):
            if not verdict:
                self._allowance.failed()
                continue
            at = struct.unpack_from("<H", proofs, position * message.PROOF.size)[0] * message.NOMINEE.size
            row, index, group = struct.unpack_from("<III", nominees, at)
            if self._states.get(group) != _OWN:
                rows.add(row)
                self._grant(group, index)
        self._allowance.proven(len(rows))

    def _grant(self, group: int, index: int) -> None:
        number = layout.item_number(packs.FILES, group, index)
        if number not in self._granted:
            self._granted[number] = True
            self._store.holds.add(number)
            self._fresh.append(layout.grant_key(group, index, self._client))

    def granted(self, number: int) -> bool:
        """Whether the client proved in this backup to hold the item of this number."""
        return number in self._granted

    def sent(self, files: int) -> None:
        """The client sent file objects."""
        self._allowance.sent(files)

    def take_grants(self) -> list:
        """Grants that the next checkpoint writes down."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def close(self) -> None:
        for number in self._granted:
            self._store.holds.drop(number)
        self._granted = {}
