"""What a file object's runs hold, as bytes: a range of them, and the canonical signature. Used by rfe_prove.py."""

from firmware.formats import limits
from firmware.formats import pack as packs
from firmware.store import runs
from firmware.store.packs import Buffers, decode
from hal.errors import CorruptData
from hal.loop import sleep_ms


async def part(store, catalog, row, offset: int, length: int) -> bytes:
    """`length` bytes from `offset` of the contents of `row` (file.FILE). Raises CorruptData, MediumError."""
    found = []
    regular = row.chunk_bytes if not row.flags else 0
    for _, _, pack_row, start, end in runs.pieces(catalog, row.runs):
        held = regular * (end - start) or await _held_bytes(store, pack_row, start, end)
        if offset < held:
            pack = await store.packs.load(pack_row)
            data = pack.raw[pack.offsets[start] + offset : min(pack.offsets[start] + offset + length, pack.offsets[end])]
            found.append(bytes(data))
            length -= len(data)
            if not length:
                break
        offset = max(0, offset - held)
    if length:
        raise CorruptData("file of %d bytes: its chunks hold %d fewer" % (row.size, length))
    return b"".join(found)


async def _held_bytes(store, pack_row, start: int, end: int) -> int:
    body = await store.tables.get(pack_row)
    return sum(packs.lengths(body, start, end))


async def signed(store, catalog, row) -> bool:
    """Whether the contents of `row` (file.FILE without holes) are as long as it says and have its signature. Reads all of it.

    Raises CorruptData, MediumError.
    """
    signer = _Signer(store.processor, limits.chunk_size(row.size))
    buffers = Buffers()
    for _, _, pack_row, start, end in runs.pieces(catalog, row.runs):
        body = await store.packs.stored(pack_row, buffers)
        pack = decode(body, store.processor, store.raw_buffer)  # shared: nobody else runs until it is hashed
        signer.take(pack.raw[pack.offsets[start] : pack.offsets[end]])
        buffers.give_back()
        await sleep_ms(0)
        if signer.size > row.size:
            return False
    return signer.size == row.size and signer.digest() == row.signature


class _Signer:
    """Signature of contents that come in pieces of any length."""

    def __init__(self, processor, chunk_bytes: int):
        self._sums = processor.sums
        self._hasher = processor.hasher()
        self._chunk = chunk_bytes
        self._left = b""
        self.size = 0

    def take(self, data) -> None:
        self.size += len(data)
        at = 0
        if self._left:
            at = min(self._chunk - len(self._left), len(data))
            self._left += bytes(data[:at])
            if len(self._left) < self._chunk:
                return
            self._hasher.update(self._sums(self._left, self._chunk))
        whole = (len(data) - at) // self._chunk * self._chunk
        self._hasher.update(self._sums(data[at : at + whole], self._chunk))
        self._left = bytes(data[at + whole :])

    def digest(self) -> bytes:
        if self._left:
            self._hasher.update(self._sums(self._left, self._chunk))
        return self._hasher.digest()
