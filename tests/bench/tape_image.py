"""Throughput of the tape path without a disk: to memory, or to a drive by iSCSI (see tests/lab/istgt.py for one).

    micropython -X heapsize=48M tests/bench/tape_image.py [geometry] [MiB] [URL]      from the repository's root, also with python3

Prints one line for each of write, verify, read and repair (in memory only): MB/s of image stream. No limits are asserted.
"""

import asyncio
import sys
import time

sys.path.insert(0, "")

from firmware.formats import disk  # noqa: E402
from firmware.formats import tape as form  # noqa: E402
from firmware.tape import label as labels  # noqa: E402
from firmware.tape.geometry import GEOMETRIES  # noqa: E402
from firmware.tape.image import open_image  # noqa: E402
from firmware.tape.verify import verify  # noqa: E402
from firmware.tape.writer import ImageWriter  # noqa: E402
from hal.errors import BlankCheck, FileMark, MediumError  # noqa: E402
from hal.linux.iscsi import IscsiTransport  # noqa: E402
from hal.linux.rwp import NativeProcessor  # noqa: E402
from hal.native import Mapping  # noqa: E402
from hal.ssc.drive import SscTape  # noqa: E402
from hal.tape import Tape, TapeStatus  # noqa: E402

_SEGMENT = 32 << 20


class MemoryTape(Tape):
    """Blocks of one size in a mapping; keeps `capacity` of them, then forgets the rest."""

    def __init__(self, block_bytes: int, capacity: int):
        self.name = "memory"
        self._memory = Mapping(block_bytes * capacity)
        self._room = self._memory.blocks(block_bytes)
        self._objects = []
        self._at = 0
        self.bad = set()

    async def status(self) -> TapeStatus:
        return TapeStatus(True, False, 1, 1 << 20, "", "", "", "", True, True)

    async def rewind(self) -> None:
        self._at = 0

    async def locate(self, block: int) -> None:
        self._at = block

    async def position(self) -> int:
        return self._at

    async def space_filemarks(self, count: int) -> None:
        while count:
            count -= self._objects[self._at] is None
            self._at += 1

    async def write(self, block) -> bool:
        del self._objects[self._at :]
        if self._at < len(self._room):
            kept = self._room[self._at][: len(block)]
            kept[:] = block
            self._objects.append(kept)
        self._at += 1
        return False

    async def write_filemarks(self, count: int = 1) -> None:
        del self._objects[self._at :]
        self._objects += [None] * count
        self._at += count

    async def read(self, buffer) -> int:
        if self._at >= len(self._objects):
            raise BlankCheck("end")
        block = self._objects[self._at]
        self._at += 1
        if block is None:
            raise FileMark("mark")
        if self._at - 1 in self.bad:
            raise MediumError("bad")
        buffer[: len(block)] = block
        return len(block)


class Snapshot:
    """`segments` segments of the same bytes, given in no time."""

    def __init__(self, segments: int):
        self.segments = [(number, _SEGMENT) for number in range(segments)]
        self.superblock = disk.SUPERBLOCK.pack(disk.SUPERBLOCK_MAGIC, disk.VERSION, bytes(16), _SEGMENT, segments, 0, 0)

    def dump(self):
        for number in range(1000):
            yield "meta", str(number).encode(), bytes(20)

    async def read(self, number: int, offset: int, buffer) -> None:
        pass


class FixedClock:
    def now_ns(self) -> int:
        return 1700000000000000000


def _told(what: str, nbytes: int, began: float) -> None:
    seconds = time.time() - began
    print("%-8s %6d MB  %6.2f s  %6d MB/s" % (what, nbytes // 1000000, seconds, nbytes / seconds / 1000000))


def _memory_tape(geometry, segments: int) -> MemoryTape:
    capacity = geometry.file_blocks((segments * _SEGMENT) // 262000 + 4) + 40
    return MemoryTape(form.BLOCK_BYTES, capacity)


async def main(name: str, mib: int, url: str) -> None:
    geometry = GEOMETRIES[name][0]
    processor = NativeProcessor()
    segments = max(1, (mib << 20) // _SEGMENT)
    label = labels.new_label("bench", bytes(16), "bench", form.BLOCK_BYTES, geometry, 0)
    label = labels.for_image(label, bytes(16), "bench", form.BLOCK_BYTES, geometry, 0, 0)
    if url:
        tape = SscTape(IscsiTransport(url))
        await labels.settle(tape)
    else:
        tape = _memory_tape(geometry, segments)
    began = time.time()
    end = await ImageWriter(tape, processor, FixedClock(), Snapshot(segments), label).run()
    print("%s: k=%d m=%d depth=%d" % (name, geometry.k, geometry.m, geometry.depth))
    _told("write", end.stream_bytes, began)
    image = await open_image(tape, processor)
    began = time.time()
    await verify(image, processor)
    _told("verify", end.stream_bytes, began)
    buffer = memoryview(bytearray(1 << 18))
    for what, bad in (("read", 0), ("repair", geometry.burst_blocks())):
        if bad and url:
            break
        tape.bad = set(range(form.IMAGE_ADDRESS + 1, form.IMAGE_ADDRESS + 1 + bad))
        began = time.time()
        length = min(end.stream_bytes, geometry.group_data * 262000)
        for offset in range(0, length - len(buffer), len(buffer)):
            await image.read(offset, buffer)
        _told(what, length, began)
    await image.close()


if __name__ == "__main__":
    given = sys.argv[1:] + ["standard", "512", ""][len(sys.argv) - 1 :]
    asyncio.run(main(given[0], int(given[1]), given[2]))
