"""What the tape tests share: a simulated drive, and a snapshot of a store that never was, with real bytes from a seed."""

from firmware.formats import disk
from firmware.tape import label as labels
from firmware.tape.geometry import Geometry
from firmware.tape.image import open_image
from firmware.tape.writer import ImageWriter
from hal.clock import Clock
from hal.linux.rwp import NativeProcessor
from hal.loop import sleep_ms
from hal.sim.cartridge import Cartridge
from hal.sim.tape import PROFILES, Profile, SimTapeDrive
from hal.ssc.drive import SscTape

PROCESSOR = NativeProcessor()
APPLIANCE = b"appliance-uuid-1"
BLOCK = 4096
SMALL = Geometry(4, 2, 2)


def noise(seed: int, length: int) -> bytes:
    """Reproducible bytes that do not compress."""
    blocks = [PROCESSOR.blake2b(b"%s" % str(seed + i).encode(), b"", 64) for i in range(0, length, 64)]
    return b"".join(blocks)[:length]


class FakeClock(Clock):
    def __init__(self, now_ns: int = 1750000000 * 1000000000):
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now


class FakeSnapshot:
    """As firmware/store makes it. `used` is [(segment number, used bytes)]."""

    def __init__(self, used: list, entries: int = 20, zeros: bool = False, segment_bytes: int = 1 << 16):
        self.segments = used
        self.contents = {}
        for number, length in used:
            data = bytearray((length + 4095) // 4096 * 4096)
            if not zeros:
                data[:length] = noise(number * 1000000, length)
            self.contents[number] = data
        self.superblock = disk.SUPERBLOCK.pack(disk.SUPERBLOCK_MAGIC, disk.VERSION, bytes(16), segment_bytes, 1000, 0, 0)
        self.entries = [("meta", ("key %d" % i).encode(), noise(i, i % 90)) for i in range(entries)]
        self.entries += [("packs", ("pack %d" % i).encode(), bytes(30)) for i in range(entries)]
        self.reads = self.in_flight = self.most_in_flight = 0

    def dump(self):
        yield from self.entries

    async def read(self, number: int, offset: int, buffer) -> None:
        self.reads += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await sleep_ms(0)
        buffer[:] = memoryview(self.contents[number])[offset : offset + len(buffer)]
        self.in_flight -= 1


def drive(cartridge, profile: str = ""):
    """(SscTape, its simulated target); without a profile a good drive that never keeps anybody waiting."""
    target = SimTapeDrive(cartridge, PROFILES.get(profile) or Profile(polls=0, immediate=False), max_transfer_bytes=1 << 20)
    return SscTape(target), target


def image_label(geometry=SMALL, block_bytes: int = BLOCK, name: str = "T1", keep_days: int = 0):
    clock = FakeClock()
    empty = labels.new_label(name, APPLIANCE, "box", block_bytes, geometry, clock.now)
    return labels.for_image(empty, APPLIANCE, "box", block_bytes, geometry, clock.now, keep_days)


async def written(snapshot, geometry=SMALL, block_bytes: int = BLOCK, cartridge=None, profile: str = ""):
    """(SscTape, target, cartridge, END) after a copy of `snapshot`."""
    cartridge = cartridge or Cartridge()
    tape, target = drive(cartridge, profile)
    writer = ImageWriter(tape, PROCESSOR, FakeClock(), snapshot, image_label(geometry, block_bytes))
    await labels.settle(tape)
    end = await writer.run()
    return tape, target, cartridge, end


async def opened(tape):
    return await open_image(tape, PROCESSOR)


async def read_segments(image, snapshot, piece: int = 10000) -> list:
    """Numbers of the segments that did not come back as they were; those beyond correction as negative numbers minus one."""
    from firmware.tape.disk import TapeDisk
    from hal.errors import MediumError

    disk_ = TapeDisk(image)
    wrong = []
    for number, length in snapshot.segments:
        got = bytearray(length)
        try:
            for at in range(0, length, piece):
                await disk_.read((1 << 20) + number * (1 << 16) + at, memoryview(got)[at : at + piece])
            if bytes(got) != bytes(snapshot.contents[number][:length]):
                wrong.append(number)
        except MediumError:
            wrong.append(-number - 1)
    return wrong
