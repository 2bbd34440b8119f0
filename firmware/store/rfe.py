"""Redundant file elimination within one backup: candidates by CRC, then proof that the client holds the file (design, section 7).

The CRC only nominates. A file object is granted when size and full signature agree and the client's keyed hash of a random
range of its chunks is right. Unknown, refused and absent objects are answered alike. Only canonically cut objects without holes
are in the index: the appliance has verified their signatures.
"""

import os

from firmware.formats import catalog as layout
from firmware.formats import limits, rfe
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import runs
from firmware.store.catalog import Catalog
from hal.errors import HalError
from hal.loop import sleep_ms

_PER_ROW = 2
_LOOKED_AT = 32  # entries of one CRC: anybody can file any number under any CRC
_YIELD_ROWS = 64
_FAILURES = 64  # refused claims after which a backup gets no more grants


class Proofs:
    """What one client may refer to in one backup because it proved to hold it."""

    def __init__(self, store, client: int):
        self._store = store
        self._client = client
        self._granted = {}
        self._fresh = []
        self._claims = []
        self._ranges = []
        self._nonce = b""
        self._failures = 0

    async def candidates(self, crcs: list) -> list:
        catalog = Catalog(self._store.kv.begin())
        found = []
        try:
            for row, crc in enumerate(crcs):
                found += self._candidates(catalog, row, crc)
                if row % _YIELD_ROWS == _YIELD_ROWS - 1:
                    await sleep_ms(0)
        finally:
            catalog.txn.abort()
        return found

    def _candidates(self, catalog, row: int, crc: int) -> list:
        found = []
        seen = 0
        stop = layout.number_key(crc + 1) if crc < 0xFFFFFFFF else None
        entries = catalog.txn.scan(layout.RFE, layout.number_key(crc), stop)
        for _, value in entries:
            entry = rfe.ENTRY.unpack(value)
            if self._visible(catalog, entry.group):
                found.append((row, entry.group, entry.index, entry.size, entry.signature))
            seen += 1
            if len(found) == _PER_ROW or seen == _LOOKED_AT:
                break
        entries.close()
        return found

    def _visible(self, catalog, group: int) -> bool:
        """Another client's backup counts once it is committed."""
        row = catalog.group(group)
        return row is not None and (row.client == self._client or row.state in (layout.SWEEPING, layout.COMMITTED))

    def challenge(self, claims: list):
        """(nonce, ranges). The range depends on the claimed size alone, so it tells nothing about what is held."""
        self._claims = claims
        self._nonce = os.urandom(16)
        self._ranges = [_random_range(size) for _, _, size, _ in claims]
        return self._nonce, self._ranges

    async def prove(self, backup, digests: list) -> list:
        claims, self._claims = self._claims, []
        ranges, self._ranges = self._ranges, []
        if len(digests) != len(claims):
            raise Refusal("PROTOCOL", "RFE_PROOF: expected %d digests, got %d" % (len(claims), len(digests)))
        verdicts = []
        for claim, span, digest in zip(claims, ranges, digests):
            verdicts.append(1 if await self._holds(backup, claim, span, digest) else 0)
        return verdicts

    async def _holds(self, backup, claim, span, digest: bytes) -> bool:
        group, index, size, signature = claim
        if self._failures < _FAILURES and await self._proven(backup, group, index, size, signature, span, digest):
            self._grant(group, index)
            return True
        self._failures += 1
        return False

    async def _proven(self, backup, group: int, index: int, size: int, signature: bytes, span, digest: bytes) -> bool:
        pin = self._store.segments.pin()
        catalog = Catalog(self._store.kv.begin())
        try:
            if catalog.references(layout.item_key(packs.FILES, group, index)) < 0 or not self._visible(catalog, group):
                return False
            row = await backup.file_object(catalog, group, index)
            if row.size != size or row.signature != signature or row.flags:
                return False
            expected = await self._digest(catalog, row, span)
        except (Refusal, HalError):
            return False  # damaged here: let the client send it again
        finally:
            catalog.txn.abort()
            self._store.segments.unpin(pin)
        return expected == digest

    async def _digest(self, catalog, row, span) -> bytes:
        offset, length = span
        ordinal, within = divmod(offset, row.chunk_bytes)
        for _, _, pack_row, start, end in runs.pieces(catalog, row.runs):
            if ordinal < end - start:
                pack = await self._store.packs.load(pack_row)
                chunk = pack.item(start + ordinal)
                return self._store.processor.blake2b(chunk[within : within + length], self._nonce)
            ordinal -= end - start
        return self._store.processor.blake2b(b"", self._nonce)

    def _grant(self, group: int, index: int) -> None:
        if (group, index) not in self._granted:
            self._granted[(group, index)] = True
            self._store.holds.add(layout.item_number(packs.FILES, group, index))
            self._fresh.append(layout.grant_key(group, index, self._client))

    def granted(self, group: int, index: int) -> bool:
        return (group, index) in self._granted

    def take_grants(self) -> list:
        """Grants that the next checkpoint writes down."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def close(self) -> None:
        for group, index in self._granted:
            self._store.holds.drop(layout.item_number(packs.FILES, group, index))
        self._granted = {}


def _random_range(size: int):
    """(offset, length): at most PROOF_BYTES within one canonical chunk of a file of `size` bytes."""
    if size == 0:
        return 0, 0
    chunk = limits.chunk_size(size)
    chunks = (size + chunk - 1) // chunk
    start = int.from_bytes(os.urandom(8), "little") % chunks * chunk
    end = min(start + chunk, size)
    start += int.from_bytes(os.urandom(4), "little") % max(end - start - limits.PROOF_BYTES + 1, 1)
    return start, min(limits.PROOF_BYTES, end - start)
