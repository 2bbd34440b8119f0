"""A disk in memory with a volatile write cache that loses, tears and reorders, and with faults. Used by tests.

Content is a dict from page number to 4096 bytes; pages never written are zero. Pages are immutable, so a copy of the
dict is an independent disk.
"""

from hal.disk import Disk
from hal.errors import BusError, MediumError, NoSpace
from hal.loop import sleep_ms
from hal.native import address
from hal.sim.power import Power

_PAGE = Disk.align_bytes
_SECTOR = 512
_SECTORS = _PAGE // _SECTOR
_ZEROS = bytes(_PAGE)
_DISCARDED = b"\xdd" * _PAGE

# What happens to one unflushed write at a power cut, by two random bits.
_LOST, _TORN = 0, 3


def _torn(old: bytes, new: bytes, rng) -> bytes:
    mask = rng.getrandbits(_SECTORS)
    if mask == (1 << _SECTORS) - 1:
        return new
    spans = [(i * _SECTOR, (i + 1) * _SECTOR) for i in range(_SECTORS)]
    return b"".join([(new if mask >> i & 1 else old)[first:end] for i, (first, end) in enumerate(spans)])


class SimDisk(Disk):
    """`image` is the content to begin with. Its events of `power` are "write", "discard" and "flush".

    Faults are attributes to set: `bad_reads`, `bad_writes` (sets of page numbers), `is_full`, `flush_fails`, `delay_ms`.
    `counts` has reads, writes, flushes, read_bytes, write_bytes.
    """

    def __init__(self, size_bytes: int, image=None, power=None, name: str = "simulated disk"):
        if size_bytes % _PAGE:
            raise ValueError("%s: %d bytes is not a multiple of %d" % (name, size_bytes, _PAGE))
        self.name = name
        self.size_bytes = size_bytes
        self.power = power or Power()
        self.bad_reads = set()
        self.bad_writes = set()
        self.is_full = False
        self.flush_fails = False
        self.delay_ms = 0
        self.counts = {"reads": 0, "writes": 0, "flushes": 0, "read_bytes": 0, "write_bytes": 0}
        self._visible = dict(image or {})
        self._durable = dict(self._visible)
        self._pending = []  # one list of (page number, content) for each write since the last flush

    def image(self) -> dict:
        """Copy of the content as a reader sees it now."""
        return dict(self._visible)

    def power_cut(self, rng) -> dict:
        """Image that survives a power cut now: each unflushed write is kept, lost or torn at sectors, each by itself.

        The disk itself is untouched. `rng` has getrandbits.
        """
        image = dict(self._durable)
        for write in self._pending:
            fate = rng.getrandbits(2)
            if fate == _LOST:
                continue
            for page, content in write:
                image[page] = _torn(image.get(page, _ZEROS), content, rng) if fate == _TORN else content
        return image

    def poke(self, offset: int, data: bytes) -> None:
        """Change the medium behind the firmware's back (bit rot), durably."""
        for at, byte in enumerate(data):
            page, within = divmod(offset + at, _PAGE)
            old = self._visible.get(page, _ZEROS)
            self._visible[page] = self._durable[page] = old[:within] + bytes([byte]) + old[within + 1 :]

    def _pages(self, offset: int, length: int) -> range:
        if offset % _PAGE or length % _PAGE:
            raise ValueError("%s: %d+%d is not a multiple of %d" % (self.name, offset, length, _PAGE))
        if offset < 0 or offset + length > self.size_bytes:
            raise ValueError("%s: %d+%d is outside its %d bytes" % (self.name, offset, length, self.size_bytes))
        return range(offset // _PAGE, (offset + length) // _PAGE)

    def _buffer_pages(self, offset: int, buffer) -> range:
        # As strict as O_DIRECT, so that a test finds what the real disk would refuse.
        if len(buffer) and address(buffer) % _PAGE:
            raise ValueError("%s: buffer is not aligned, take it from hal.native.aligned" % self.name)
        return self._pages(offset, len(buffer))

    def _check_pages(self, pages: range, bad: set, verb: str) -> None:
        if not bad:
            return
        for page in pages:
            if page in bad:
                raise MediumError("%s: %s of sector at %d" % (self.name, verb, page * _PAGE))

    def _apply(self, name: str, write: list) -> None:
        # Pending before the event: a cut in the middle of this write may keep any part of it.
        self._pending.append(write)
        self.power.event(name)
        for page, content in write:
            self._visible[page] = content

    async def identify(self) -> dict:
        return {"model": "simulated", "serial": "SIM0001", "size_bytes": self.size_bytes}

    async def read(self, offset: int, buffer) -> None:
        pages = self._buffer_pages(offset, buffer)
        self.power.check()
        self.counts["reads"] += 1
        self.counts["read_bytes"] += len(buffer)
        await sleep_ms(self.delay_ms)
        self._check_pages(pages, self.bad_reads, "read")
        target = memoryview(buffer)
        for at, page in enumerate(pages):
            target[at * _PAGE : (at + 1) * _PAGE] = self._visible.get(page, _ZEROS)

    async def write(self, offset: int, buffer) -> None:
        pages = self._buffer_pages(offset, buffer)
        if self.is_full:
            raise NoSpace("%s: full" % self.name)
        self._check_pages(pages, self.bad_writes, "write")
        self.counts["writes"] += 1
        self.counts["write_bytes"] += len(buffer)
        source = memoryview(buffer)
        self._apply("write", [(page, bytes(source[at * _PAGE : (at + 1) * _PAGE])) for at, page in enumerate(pages)])
        await sleep_ms(self.delay_ms)

    async def flush(self) -> None:
        self.power.event("flush")
        self.counts["flushes"] += 1
        if self.flush_fails:
            raise BusError("%s: flush failed" % self.name)
        flushed = self._pending
        for write in flushed:
            self._durable.update(write)
        self._pending = []
        await sleep_ms(self.delay_ms)

    async def discard(self, offset: int, length: int) -> None:
        pages = self._pages(offset, length)
        # Whoever reads what he discarded shall notice, so the content becomes neither the old one nor zeros.
        held = (
            [page for page in pages if page in self._visible]
            if len(pages) < len(self._visible)
            else [page for page in self._visible if page in pages]
        )
        self._apply("discard", [(page, _DISCARDED) for page in held])

    async def close(self) -> None:
        """What was not flushed stays pending."""
