"""hal.sim.disk: what survives a power cut, and faults."""

import asyncio
import random

from hal.errors import BusError, MediumError, NoSpace
from hal.native import aligned
from hal.sim.disk import SimDisk
from hal.sim.power import Power, PowerCut
from tests.contract.disk import filled, raises

PAGE = 4096


def _survivors(disk, count: int) -> list:
    random.seed(1)
    return [disk.power_cut(random) for _ in range(count)]


async def test_flushed_writes_survive():
    disk = SimDisk(1 << 20)
    await disk.write(0, filled(2 * PAGE, 1))
    await disk.flush()
    for image in _survivors(disk, 50):
        assert image == {0: b"\1" * PAGE, 1: b"\1" * PAGE}


async def test_unflushed_writes_are_kept_lost_torn_and_reordered():
    disk = SimDisk(1 << 20)
    await disk.write(0, filled(PAGE, 1))
    await disk.flush()
    await disk.write(0, filled(PAGE, 2))
    await disk.write(PAGE, filled(PAGE, 3))
    await disk.write(0, filled(PAGE, 4))
    seen = set()
    for image in _survivors(disk, 400):
        first, second = image[0], image.get(1, bytes(PAGE))
        if len(set(first)) > 1:
            assert all(len(set(first[i : i + 512])) == 1 for i in range(0, PAGE, 512))
            seen.add("torn")
        else:
            seen.add((first[0], second[0] if len(set(second)) == 1 else "torn"))
    assert {"torn", (1, 0), (1, 3), (2, 0), (2, 3), (4, 0), (4, 3)} <= seen


async def test_cut_at_an_event():
    power = Power(cut_at=3)
    disk = SimDisk(1 << 20, power=power)
    await disk.write(0, filled(PAGE, 1))
    await disk.flush()
    await raises(PowerCut, disk.write(PAGE, filled(PAGE, 2)))
    await raises(PowerCut, disk.read(0, aligned(PAGE)))
    await raises(PowerCut, disk.flush())
    assert power.events == 3
    images = _survivors(disk, 100)
    assert any(1 in image for image in images) and any(1 not in image for image in images)
    assert all(image[0] == b"\1" * PAGE for image in images)
    again = SimDisk(1 << 20, image=images[0])
    back = aligned(PAGE)
    await again.read(0, back)
    assert bytes(back) == b"\1" * PAGE


async def test_observer_forks_while_work_goes_on():
    images = []
    power = Power(observer=lambda name: images.append((name, disk.power_cut(random))))
    disk = SimDisk(1 << 20, power=power)
    for byte in range(1, 4):
        await disk.write(0, filled(PAGE, byte))
        await disk.flush()
    assert [name for name, _ in images] == ["write", "flush"] * 3
    for index, (_, image) in enumerate(images):
        assert set(image.get(0, bytes(PAGE))) <= {index // 2, index // 2 + 1}


async def test_faults():
    disk = SimDisk(1 << 20)
    await disk.write(0, filled(4 * PAGE, 1))
    disk.bad_reads.add(2)
    disk.bad_writes.add(3)
    await raises(MediumError, disk.read(0, aligned(4 * PAGE)))
    await disk.read(0, aligned(2 * PAGE))
    await raises(MediumError, disk.write(2 * PAGE, aligned(2 * PAGE)))
    disk.flush_fails = True
    await raises(BusError, disk.flush())
    disk.is_full = True
    await raises(NoSpace, disk.write(0, aligned(PAGE)))
    disk.poke(PAGE - 1, b"ab")
    back = aligned(2 * PAGE)
    await disk.read(0, back)
    assert bytes(back[PAGE - 2 : PAGE + 2]) == b"\1ab\1"
    assert disk.counts["reads"] == 3 and disk.counts["writes"] == 1


def test_runs_under_plain_asyncio():
    asyncio.run(test_flushed_writes_survive())
