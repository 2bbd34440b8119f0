"""Reads a whole tape back: every block checked, damaged groups corrected, totals compared. Used by the service after a copy."""

import struct

from firmware.tape import block
from hal.errors import CorruptData
from hal.loop import sleep_ms
from hal.native import aligned


class Report:
    """`blocks` read, `damaged` of them, `corrected` and `lost` data blocks, `worst` erasures in one codeword of `correctable`."""

    def __init__(self, correctable: int):
        self.blocks = self.damaged = self.corrected = self.lost = self.worst = 0
        self.correctable = correctable

    def text(self) -> str:
        """One line for the administrator."""
        if self.lost:
            return "%d of %d blocks damaged, %d lost beyond correction" % (self.damaged, self.blocks, self.lost)
        return "%d blocks read, %d damaged, %d corrected; worst codeword %d of %d" % (
            self.blocks, self.damaged, self.corrected, self.worst, self.correctable)  # fmt: skip


async def verify(image, processor, progress=None) -> Report:
    """Of a TapeImage. `progress(blocks)` counts image blocks. Raises CorruptData if all is readable and yet not what was written."""
    reader = image.reader
    report = Report(reader.geometry.m)
    buffer = aligned(image.label.block_bytes)
    crc = 0
    for group in range(reader.groups):
        data = reader.group_data(group)
        crcs, erasures = await _read_group(reader, group, data, buffer, report, progress)
        if any(erasures):
            await _correct(reader, group, crcs, report)
        crc = processor.crc32c(struct.pack("<%dI" % data, *crcs), crc)
    if not report.lost and crc != image.index.stream_crc:
        raise CorruptData("tape %s: every block is sound, but they are not those that were written (CRC %08X, expected %08X)"
                          % (image.label.name, crc, image.index.stream_crc))  # fmt: skip
    return report


async def _read_group(reader, group: int, data: int, buffer, report: Report, progress) -> tuple:
    """(payload CRC of every data block, 0 for missing ones; erasures per codeword) of one group."""
    geometry = reader.geometry
    crcs = [0] * data
    erasures = [0] * geometry.width(data)
    for position in range(data + geometry.parity_blocks(data)):
        if not await reader.fetch(group, position, buffer):
            erasures[geometry.row(position, data)[0]] += 1
        elif position < data:
            crcs[position] = block.payload_crc(buffer)
        report.blocks += 1
        if progress:
            progress(report.blocks)
        if position % 4 == 0:
            await sleep_ms(0)
    report.damaged += sum(erasures)
    report.worst = max(report.worst, max(erasures))
    return crcs, erasures


async def _correct(reader, group: int, crcs: list, report: Report) -> None:
    outcome = await reader.repair(group)
    for position, area in outcome.areas.items():
        crcs[position] = struct.unpack_from("<I", area, 0)[0]
    report.corrected += len(outcome.areas)
    report.lost += len(outcome.lost)
    report.worst = max(report.worst, max(outcome.erasures))
