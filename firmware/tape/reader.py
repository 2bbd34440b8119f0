"""Reads a coded file of the tape by data block, corrects what is damaged, keeps the last blocks. Used by TapeImage and verify."""

from firmware.formats import tape as form
from firmware.tape import block
from firmware.tape.repair import Repairer
from hal.errors import MediumError
from hal.native import Mapping

_RESYNC_TRIES = 3
_SHIFTS = 4
_CACHE_BYTES = 8 << 20
_CACHE_BLOCKS_MIN = 4


class CodedReader:
    """One file: `kinds` are its HEADER kinds, `start` the address of its first block, `data_blocks` its length.

    Counts: `corrected` and `lost` data blocks, `repairs` passes over a group.
    """

    def __init__(self, blocks, processor, geometry, kinds: tuple, start: int, data_blocks: int):
        self.corrected = self.lost = self.repairs = 0
        self.geometry = geometry
        self.data_blocks = data_blocks
        self.groups = (data_blocks + geometry.group_data - 1) // geometry.group_data
        self._blocks = blocks
        self._processor = processor
        self._kinds = kinds
        self._start = start
        self._block_bytes = blocks.label.block_bytes
        self._image = blocks.label.image
        # What addresses are off by, the last found first: a drive may have written a block twice, or dropped one.
        self._shifts = [0]
        room = min(data_blocks, max(_CACHE_BLOCKS_MIN, _CACHE_BYTES // self._block_bytes))
        self._memory = Mapping(max(1, room) * self._block_bytes)
        self._cache = [
            [None, buffer] for buffer in self._memory.blocks(self._block_bytes)
        ]  # [number, buffer], last used at the end
        self._mended = (None, {})  # group, {position: area}: what the last repair gave
        self._hopeless = {}  # group: set of lost positions
        self._repairer = None

    def group_data(self, group: int) -> int:
        """Data blocks of a group."""
        return self.geometry.group_of(group, self.data_blocks)

    async def payload(self, number: int):
        """Memoryview of the payload of data block `number`, valid until the next call. Raises MediumError beyond correction."""
        for place, entry in enumerate(self._cache):
            if entry[0] == number:
                self._cache.append(self._cache.pop(place))
                return entry[1][form.PAYLOAD_OFFSET :]
        group, position = self.geometry.place(number)
        area = self._mended[1].get(position) if self._mended[0] == group else None
        if area is None:
            if position in self._hopeless.get(group, ()):
                raise self._beyond(number)
            entry = self._cache[0]
            entry[0] = None
            if await self.fetch(group, position, entry[1]):
                entry[0] = number
                self._cache.append(self._cache.pop(0))
                return entry[1][form.PAYLOAD_OFFSET :]
            await self.repair(group)
            area = self._mended[1].get(position)
        if area is None:
            raise self._beyond(number)
        return area[form.CRC_BYTES :]

    async def fetch(self, group: int, position: int, buffer) -> bool:
        """Read one block, data or parity, into `buffer`; True if it is sound and the one that was meant."""
        for shift in list(self._shifts):
            if await self._fetch(group, position, shift, buffer):
                return True
        return False

    async def _fetch(self, group: int, position: int, shift: int, buffer) -> bool:
        sequence = group * self.geometry.group_blocks + position
        address = max(self._start, self._start + sequence + shift)
        for _ in range(_RESYNC_TRIES):
            length = await self._blocks.read(address, buffer)
            header = block.check(self._processor, buffer) if length == self._block_bytes else None
            if header is None or header.image != self._image or header.kind not in self._kinds:
                return False
            if header.sequence == sequence:
                self._remember(address - self._start - sequence)
                return header.group == group and header.position == position and self._kind_fits(header)
            # A sound block of this file in the wrong place: blocks were written twice or dropped before it.
            address += sequence - header.sequence
            if address < self._start:
                return False
        return False

    def _remember(self, shift: int) -> None:
        """Try this shift first from now on."""
        if shift not in self._shifts:
            self._hopeless = {}
        if self._shifts[0] != shift:
            self._shifts = [shift] + [other for other in self._shifts if other != shift][: _SHIFTS - 1]

    def _kind_fits(self, header) -> bool:
        is_parity = header.position >= self.group_data(header.group)
        return header.kind == self._kinds[is_parity]

    async def repair(self, group: int):
        """Correct a whole group; gives the Outcome. The recovered blocks stay until the next repair."""
        if self._repairer is None:
            self._repairer = Repairer(self._processor, self.geometry, self._block_bytes, self.fetch)
        self._mended = (None, {})
        known = list(self._shifts)
        outcome = await self._repairer.run(group, self.group_data(group))
        self.repairs += 1
        if outcome.lost and [shift for shift in self._shifts if shift not in known]:
            # Blocks before the place where the shift showed were looked for in the wrong places.
            outcome = await self._repairer.run(group, self.group_data(group))
        self.corrected += len(outcome.areas)
        self.lost += len(outcome.lost)
        self._mended = (group, outcome.areas)
        if outcome.lost:
            self._hopeless[group] = set(outcome.lost)
        return outcome

    def close(self) -> None:
        """Free the memory of cache and correction."""
        self._mended = (None, {})
        self._cache = []
        self._memory.close()
        if self._repairer:
            self._repairer.close()

    def _beyond(self, number: int) -> MediumError:
        room = block.payload_bytes(self._block_bytes)
        return MediumError("tape %s: bytes %d to %d of the image are damaged beyond correction (block %d)"
                           % (self._blocks.label.name, number * room, (number + 1) * room - 1, number))  # fmt: skip
