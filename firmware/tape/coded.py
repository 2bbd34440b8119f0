"""Writes a coded file of the tape: a stream into blocks with interleaved Reed-Solomon parity. Used for the image and the index."""

import struct

from firmware.formats.tape import AREA_OFFSET, PAYLOAD_OFFSET
from firmware.tape import block
from hal.loop import sleep_ms
from hal.native import Mapping

_BREATH_BLOCKS = 4  # blocks between two looks at other tasks, where drive and disk never wait


class Parity:
    """The parity buffers of one group, zeroed; whole blocks, so that they are written from where they grew. Owned memory: `close`."""

    def __init__(self, geometry, block_bytes: int):
        self._memory = Mapping(geometry.memory_bytes(block_bytes))
        self.blocks = self._memory.blocks(block_bytes)
        areas = [buffer[AREA_OFFSET:] for buffer in self.blocks]
        self.of_codeword = [areas[codeword :: geometry.depth] for codeword in range(geometry.depth)]
        self._areas = areas
        self._zeros = bytes(block_bytes - AREA_OFFSET)

    def clear(self) -> None:
        for area in self._areas:
            area[:] = self._zeros

    def close(self) -> None:
        self._memory.close()


class CodedWriter:
    """`append` the stream, then `finish`; `close` in any case, after the spool. Counts: `stream_bytes`, `data_blocks`, `blocks` (parity included), `stream_crc`.

    `kinds` are the HEADER kinds of data and parity. `total_blocks` is the file's data blocks where they are known beforehand.
    """

    def __init__(
        self, spool, processor, geometry, block_bytes: int, image: bytes, member: int, kinds: tuple, total_blocks: int = 0
    ):
        self.stream_bytes = self.data_blocks = self.blocks = self.stream_crc = 0
        self._spool = spool
        self._processor = processor
        self._geometry = geometry
        self._room = block.payload_bytes(block_bytes)
        self._image = image
        self._member = member
        self._data_kind, self._parity_kind = kinds
        self._total_blocks = total_blocks
        self._code = processor.rs_encoder(geometry.k, geometry.m)
        self._parity = Parity(geometry, block_bytes)
        self._buffer = None
        self._fill = 0
        self._group = 0
        self._in_group = 0  # data blocks of the current group

    async def append(self, data) -> None:
        """Add `data` (memoryview or bytes) to the stream; it is copied before return. Raises what the drive refused."""
        view = memoryview(data)
        done = 0
        while done < len(view):
            if self._buffer is None:
                self._buffer = await self._spool.buffer()
            count = min(len(view) - done, self._room - self._fill)
            start = PAYLOAD_OFFSET + self._fill
            self._buffer[start : start + count] = view[done : done + count]
            self._fill += count
            done += count
            if self._fill == self._room:
                await self._complete()
        self.stream_bytes += len(view)

    async def pad(self, align: int) -> None:
        """Zeros up to the next multiple of `align`."""
        await self.append(bytes(-self.stream_bytes % align))

    async def finish(self) -> None:
        """Write the last block and the last group's parity; on return the drive has accepted everything."""
        if self._fill:
            used = PAYLOAD_OFFSET + self._fill
            self._buffer[used:] = bytes(len(self._buffer) - used)
            await self._complete()
        if self._in_group:
            await self._close_group()

    def close(self) -> None:
        """Free the parity buffers."""
        self._parity.close()

    async def _complete(self) -> None:
        """The current block is full: seal it, add it to its codeword, hand it over."""
        buffer, payload = self._buffer, self._fill
        crc = block.seal_payload(self._processor, buffer)
        self.stream_crc = self._processor.crc32c(struct.pack("<I", crc), self.stream_crc)
        row, codeword = divmod(self._in_group, self._geometry.depth)
        self._code.update(row, buffer[AREA_OFFSET:], self._parity.of_codeword[codeword])
        self._seal(buffer, self._data_kind, self._in_group, payload, self._total_blocks)
        self._buffer, self._fill = None, 0
        self._spool.put(buffer)
        self.data_blocks += 1
        self._in_group += 1
        if self._in_group == self._geometry.group_data:
            await self._close_group()
        elif self.data_blocks % _BREATH_BLOCKS == 0:
            await sleep_ms(0)

    def _seal(self, buffer, kind: int, position: int, payload: int, data_blocks: int) -> None:
        block.seal(
            self._processor, buffer, kind, self._member, self._image, self.blocks, self._group, position, payload, data_blocks
        )
        self.blocks += 1

    async def _close_group(self) -> None:
        data = self._in_group
        for position in range(data, data + self._geometry.parity_blocks(data)):
            codeword, row = self._geometry.row(position, data)
            buffer = self._parity.blocks[(row - self._geometry.k) * self._geometry.depth + codeword]
            self._seal(buffer, self._parity_kind, position, 0, self._total_blocks or data)
            self._spool.lend(buffer)
            if position % _BREATH_BLOCKS == 0:
                await sleep_ms(0)
        await self._spool.drain()
        self._parity.clear()
        self._group += 1
        self._in_group = 0
