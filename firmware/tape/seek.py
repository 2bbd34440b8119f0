"""Finds the index where spacing over filemarks fails: by bisection over block addresses. Used when a tape is opened."""

from firmware.formats import tape as form
from firmware.tape import block
from firmware.tape.label import read_block
from firmware.tape.writer import IMAGE_KINDS, INDEX_KINDS
from hal.errors import BlankCheck, FileMark, HalError, MediumError

_SKIPS = 64  # bad addresses tried before a stretch counts as damaged image
_ADDRESS_BITS = 40

_WITHIN, _BEHIND, _BAD = range(3)


class IndexSearch:
    """On the tape of `label`. `run` gives the address of the index, or None."""

    def __init__(self, tape, processor, label):
        self._tape = tape
        self._processor = processor
        self._label = label
        self._buffer = memoryview(bytearray(label.block_bytes))
        self._found = None

    async def run(self):
        """Raises NotReady, BusError, UnitAttention, Timeout."""
        low, high = form.IMAGE_ADDRESS, None
        step = 1
        while high is None and step < 1 << _ADDRESS_BITS:
            if await self._side(low + step) == _BEHIND:
                high = low + step
            else:
                low += step
                step *= 2
        while high is not None and self._found is None and high - low > 1:
            middle = (low + high) // 2
            if await self._side(middle) == _BEHIND:
                high = middle
            else:
                low = middle
        # What lies directly behind the last image block is its filemark.
        return high + 1 if self._found is None and high is not None else self._found

    async def _side(self, address: int) -> int:
        """Whether `address` is within the image or behind it; a damaged stretch counts as image."""
        for skipped in range(_SKIPS):
            side = await self._probe(address + skipped)
            if side != _BAD or self._found is not None:
                return side
        return _WITHIN

    async def _probe(self, address: int) -> int:
        await self._tape.rewind()
        try:
            await self._tape.locate(address)
        except BlankCheck:
            return _BEHIND
        except MediumError:
            return _BAD
        view = await read_block(self._tape, self._buffer)
        if isinstance(view, (BlankCheck, FileMark)):
            return _BEHIND
        header = None if isinstance(view, HalError) else block.check(self._processor, view)
        if header is None or header.image != self._label.image:
            return _BAD
        if header.kind in INDEX_KINDS:
            self._found = address - header.sequence
        return _WITHIN if header.kind in IMAGE_KINDS else _BEHIND
