"""Reads single blocks of a tape by address and survives resets. Used by the coded reader.

Streaming stays streaming: consecutive addresses are read without a command in between, short gaps are read over.
"""

from firmware.tape.label import OURS, identify
from hal.errors import BlankCheck, BusError, FileMark, HalError, MediumError, NotReady, Timeout, UnitAttention, WrongLength

_TRIES = 3


class Blocks:
    """A tape with the image of `label`. Counts: `reads`, `locates`, `recoveries`.

    `skip_blocks`: gaps up to this length are read over rather than located over.
    """

    def __init__(self, tape, processor, label, skip_blocks: int):
        self.reads = self.locates = self.recoveries = 0
        self.tape = tape
        self.label = label
        self._processor = processor
        self._skip_blocks = skip_blocks
        self._at = None  # address of the next command, None: unknown
        self._blank = None  # address where the recorded data ends

    async def read(self, address: int, buffer) -> int:
        """Length of the block at `address`, now in `buffer`; 0 where there is none to be had: damaged, filemark, too long, blank.

        After a reset, a lost connection or a timeout the tape is rewound and identified before reading goes on. Raises
        NotReady (taken out), BusError (another tape, or the fault persists).
        """
        if self._blank is not None and address >= self._blank:
            return 0
        for attempt in range(_TRIES):
            try:
                return await self._read(address, buffer)
            except (UnitAttention, BusError, Timeout) as error:
                self._at = None
                if attempt == _TRIES - 1:
                    raise BusError("tape %s: block %d: %s" % (self.label.name, address, error), error.sense)
                await self.recover(error)

    async def recover(self, cause) -> None:
        """Rewind, read the label again and compare. Raises BusError if it is another tape, NotReady if it is gone."""
        self.recoveries += 1
        self._at = self._blank = None
        found = await identify(self.tape, self._processor)
        if found.kind != OURS or found.label.image != self.label.image:
            raise NotReady("tape %s was exchanged for %s (%s)" % (self.label.name, found.text, cause))

    def moved(self) -> None:
        """Somebody else used the drive: locate before the next read."""
        self._at = None

    async def _read(self, address: int, buffer) -> int:
        try:
            await self._go(address, buffer)
        except (MediumError, BlankCheck, FileMark) as error:
            self._at = None
            if isinstance(error, BlankCheck):
                self._blank = address
            return 0
        return await self._next(buffer)

    async def _go(self, address: int, buffer) -> None:
        if self._at is None or not 0 <= address - self._at <= self._skip_blocks:
            return await self._locate(address)
        while self._at is not None and self._at < address:
            await self._next(buffer)
        if self._at != address:
            await self._locate(address)

    async def _locate(self, address: int) -> None:
        self.locates += 1
        self._at = None
        await self.tape.locate(address)
        self._at = address

    async def _next(self, buffer) -> int:
        """Read where the tape stands."""
        here = self._at
        self._at = None
        self.reads += 1
        try:
            length = await self.tape.read(buffer)
            self._at = here + 1
            return length
        except (FileMark, WrongLength):
            self._at = here + 1
        except BlankCheck:
            self._blank = here
        except MediumError:
            await self._settle_behind(here)
        return 0

    async def _settle_behind(self, here: int) -> None:
        """After an unreadable block: where did the drive leave the tape?"""
        try:
            position = await self.tape.position()
            self._at = position if position > here else None
        except HalError:
            await self.recover("the drive lost its position at block %d" % here)
