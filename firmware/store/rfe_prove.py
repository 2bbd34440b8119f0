"""Compares the proofs of one batch with the contents: each pack that holds challenged ranges is read once, ahead, and decoded once.

Used by rfe.py. What is damaged here is refused like a wrong proof: then the client sends the file again.
"""

import asyncio
import struct

from firmware.formats import catalog as layout
from firmware.formats import fileobject, limits, message, rfe
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import contents, intake
from firmware.store.packs import Buffers, decode
from hal.errors import HalError

_HEAD = fileobject.FILE.code + "I"  # and the count of runs
_HEAD_BYTES = fileobject.FILE.size + 4
_AHEAD = 3  # packs being read while one is compared
_NOBODY = 0  # in GRANTS, a client: the signature of an object that is cut irregularly was checked
_CHECKED_BYTES = 4 << 30  # of such objects that one batch may make the appliance read


class Prover:
    """`own(group)` tells the client's own BDFs. End it with `close`."""

    def __init__(self, store, catalog, nonce: bytes, own):
        self._store = store
        self._catalog = catalog
        self._nonce = nonce
        self._own = own
        self._files = (0, 0, 0, None)  # the pack of file objects used last: group, first, end, Pack
        self._buffers = Buffers()
        self._reading = []
        self._room = _CHECKED_BYTES
        self.checked = []  # keys of GRANTS: signatures that were found right

    async def run(self, nominees, proofs, verdicts, trusted: bool) -> None:
        """Put 1 into `verdicts` for each right proof. `trusted`: whether right proofs count for others' files."""
        wanted = []
        odd = []
        count = len(nominees) // message.NOMINEE.size
        for position in range(len(verdicts)):
            nominee, digest = struct.unpack_from("<H16s", proofs, position * message.PROOF.size)
            if nominee < count:
                _, index, group, size, _, point = struct.unpack_from("<IIIQ8sI", nominees, nominee * message.NOMINEE.size)
                try:
                    await self._sort(position, digest, index, group, size, point, wanted, odd, trusted, verdicts)
                except (Refusal, HalError):
                    pass
        await self._compare(wanted, verdicts)
        for position, digest, row, group, index, point in odd:
            try:
                verdicts[position] = await self._odd(row, group, index, point, digest)
            except (Refusal, HalError):
                pass

    async def _sort(self, position: int, digest, index: int, group: int, size: int, point: int, wanted, odd, trusted, verdicts):
        """Where the challenged range lies: one stretch of one pack, if the object is cut regularly."""
        if self._catalog.txn.get(layout.REFS, layout.item_key(packs.FILES, group, index)) is None:
            return
        if self._own(group):
            verdicts[position] = 1
            return
        if not trusted:
            return
        pack, item = await self._object(group, index)
        data, at = pack.raw, pack.offsets[item]
        _, chunk, flags, _, _, _, signature, run_count = struct.unpack_from(_HEAD, data, at)
        offset, length = rfe.challenged(size, point)
        ordinal = offset // chunk
        run_group, first, run_chunks = struct.unpack_from("<III", data, at + _HEAD_BYTES) if run_count else (0, 0, 0)
        if not flags and ordinal < run_chunks:
            pack_first, row = self._catalog.pack_of(packs.DATA, run_group, first + ordinal)
            end = min(first + run_chunks - pack_first, row.count)
            start = first + ordinal - pack_first
            if (length + offset - 1) // chunk - ordinal < end - start:
                where = row.segment << 32 | row.offset
                wanted.append((where, position, row, start, offset - ordinal * chunk, length, digest, signature))
                return
        odd.append((position, digest, intake.parse_file(pack.item(item)), group, index, point))

    async def _object(self, group: int, index: int):
        """(Pack, position) of the file object."""
        known, first, end, pack = self._files
        if group != known or not first <= index < end:
            found = self._catalog.pack_of(packs.FILES, group, index)
            first, row = found
            pack = await self._store.packs.load(row)
            self._files = (group, first, first + row.count, pack)
        return pack, index - first

    async def _compare(self, wanted: list, verdicts) -> None:
        """The ranges of each pack, in the order of the disk."""
        wanted.sort()
        heads = [at for at in range(len(wanted)) if not at or wanted[at - 1][0] != wanted[at][0]]
        for number, head in enumerate(heads):
            while len(self._reading) < min(_AHEAD, len(heads) - number):
                row = wanted[heads[number + len(self._reading)]][2]
                self._reading.append(asyncio.create_task(self._read(row)))
            body = await self._reading.pop(0)
            end = heads[number + 1] if number + 1 < len(heads) else len(wanted)
            if body is not None:
                self._look(body, wanted[head:end], verdicts)
            self._buffers.give_back()

    async def _read(self, row):
        """The stored pack, None if it is damaged: a task that fails before it is awaited would be reported by MicroPython."""
        try:
            return await self._store.packs.stored(row, self._buffers)
        except HalError:
            return None

    def _look(self, body, wanted: list, verdicts) -> None:
        processor = self._store.processor
        try:
            pack = decode(body, processor, self._store.raw_buffer)
        except HalError:
            return
        raw, offsets = pack.raw, pack.offsets
        for _, position, _, start, within, length, digest, signature in wanted:
            at = offsets[start] + within
            if processor.blake2b(raw[at : at + length], self._nonce + signature, rfe.PROOF_DIGEST_BYTES) == digest:
                verdicts[position] = 1

    async def _odd(self, row, group: int, index: int, point: int, digest: bytes) -> int:
        """One whose range lies in several packs, or that is cut irregularly: then its signature is checked, too, once."""
        store = self._store
        data = await contents.part(store, self._catalog, row, *rfe.challenged(row.size, point))
        if store.processor.blake2b(data, self._nonce + row.signature, rfe.PROOF_DIGEST_BYTES) != digest:
            return 0
        if not row.flags & fileobject.IRREGULAR or self._checked(group, index):
            return 1
        self._room -= row.size
        if self._room < 0 or row.chunk_bytes != limits.chunk_size(row.size):
            return 0
        if not await contents.signed(store, self._catalog, row):
            return 0
        self.checked.append(layout.grant_key(group, index, _NOBODY))
        return 1

    def _checked(self, group: int, index: int) -> bool:
        key = layout.grant_key(group, index, _NOBODY)
        return key in self.checked or self._catalog.txn.get(layout.GRANTS, key) is not None

    def close(self) -> None:
        for task in self._reading:
            task.cancel()
