"""Corrects one group of a coded file in a single pass over the tape, in bounded memory. Used by the coded reader and verify.

Every sound data block is added to the parity accumulators of its codeword and forgotten; sound parity is added to the same
accumulators, because encoding is linear and addition is XOR: what remains is the parity of the missing blocks alone. So a
codeword is solved from m accumulators instead of k blocks.
"""

from firmware.formats.tape import AREA_OFFSET
from firmware.tape import block
from firmware.tape.coded import Parity
from hal.loop import sleep_ms

_SLICE_BYTES = 1 << 14


class Outcome:
    """`areas` {position: area} of the recovered data blocks, valid until the next run, `lost` positions beyond correction, `erasures` per codeword."""

    def __init__(self, width: int):
        self.areas = {}
        self.lost = []
        self.erasures = [0] * width


class Repairer:
    """`fetch(group, position, buffer)` gives True if the block came back sound. Holds m * depth blocks until `close`."""

    def __init__(self, processor, geometry, block_bytes: int, fetch):
        self._processor = processor
        self._geometry = geometry
        self._fetch = fetch
        self._code = processor.rs_encoder(geometry.k, geometry.m)
        self._xor = processor.rs_encoder(1, 1)  # its one coefficient is 1: adds a block to a block
        self._parity = Parity(geometry, block_bytes)
        self._buffer = bytearray(block_bytes)
        self._area_bytes = block_bytes - AREA_OFFSET

    def close(self) -> None:
        """Free the accumulators, and with them the areas of the last outcome."""
        self._parity.close()

    async def run(self, group: int, data_blocks: int) -> Outcome:
        """Read and solve group `group` of `data_blocks`."""
        geometry = self._geometry
        width = geometry.width(data_blocks)
        outcome = Outcome(width)
        missing = [[] for _ in range(width)]  # rows
        parity_rows = [[] for _ in range(width)]
        self._parity.clear()
        view = memoryview(self._buffer)
        for position in range(data_blocks + geometry.parity_blocks(data_blocks)):
            codeword, row = geometry.row(position, data_blocks)
            if not await self._fetch(group, position, view):
                outcome.erasures[codeword] += 1
                if row < geometry.k:
                    missing[codeword].append(row)
            else:
                self._add(codeword, row, view[AREA_OFFSET:])
                if row >= geometry.k:
                    parity_rows[codeword].append(row)
            if position % 4 == 0:
                await sleep_ms(0)
        for codeword in range(width):
            if missing[codeword]:
                await self._solve(outcome, codeword, width, missing[codeword], parity_rows[codeword])
        return outcome

    def _add(self, codeword: int, row: int, area) -> None:
        parity = self._parity.of_codeword[codeword]
        if row < self._geometry.k:
            self._code.update(row, area, parity)
        else:
            self._xor.update(0, area, [parity[row - self._geometry.k]])

    async def _solve(self, outcome: Outcome, codeword: int, width: int, missing: list, parity_rows: list) -> None:
        positions = [row * width + codeword for row in missing]
        if len(missing) > len(parity_rows):
            outcome.lost += positions
            return
        # What is recovered takes the place of what it was recovered from, slice by slice: no more memory.
        parity = self._parity.of_codeword[codeword]
        areas = {row: parity[given - self._geometry.k] for row, given in zip(missing, parity_rows)}
        for start in range(0, self._area_bytes, _SLICE_BYTES):
            self._solve_slice(areas, codeword, missing, parity_rows, start, min(start + _SLICE_BYTES, self._area_bytes))
            await sleep_ms(0)
        for position, row in zip(positions, missing):
            # A block that lied with a sound CRC would spoil the solution: only what proves itself is given out.
            if block.proves_itself(self._processor, areas[row]):
                outcome.areas[position] = areas[row]
            else:
                outcome.lost.append(position)

    def _solve_slice(self, areas: dict, codeword: int, missing: list, parity_rows: list, start: int, end: int) -> None:
        k = self._geometry.k
        zeros = bytes(end - start)
        present = {row: zeros for row in range(k) if row not in missing}
        for row in parity_rows[: len(missing)]:
            present[row] = self._parity.of_codeword[codeword][row - k][start:end]
        found = self._code.recover(present, missing, end - start)
        for row in missing:
            areas[row][start:end] = found[row]
