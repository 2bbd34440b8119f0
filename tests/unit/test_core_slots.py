"""firmware.core.slots: two copies on the config area; a power cut leaves the old one or the new one."""

import random

from firmware.core.slots import Slots
from firmware.formats.config import AREA_BYTES, AREAS, SLOT
from firmware.formats.record import FormatError
from hal.errors import HalError, MediumError
from hal.sim.disk import SimDisk
from hal.sim.power import Power, PowerCut

_BYTES = 1 << 20
_AREA = AREAS["settings"]
_CUTS = 8  # images looked at after each event


def _slots(disk) -> Slots:
    return Slots(disk, _AREA)


def test_areas_do_not_overlap_and_fit():
    ends = sorted([(area.offset, area.offset + 2 * area.slot_bytes) for area in AREAS.values()])
    assert all([ends[i][1] <= ends[i + 1][0] for i in range(len(ends) - 1)])
    assert ends[-1][1] == AREA_BYTES <= _BYTES


async def test_empty_area_holds_nothing():
    assert await _slots(SimDisk(_BYTES)).load() is None


async def test_newest_content_is_read_back():
    disk = SimDisk(_BYTES)
    slots = _slots(disk)
    for number in range(5):
        await slots.save(b"content %d" % number)
        assert await _slots(disk).load() == b"content %d" % number


async def test_long_content():
    disk = SimDisk(_BYTES)
    content = bytes([i * 7 % 251 for i in range(_AREA.slot_bytes - SLOT.size)])
    await _slots(disk).save(content)
    assert await _slots(disk).load() == content


async def test_content_that_does_not_fit_is_refused():
    disk = SimDisk(_BYTES)
    try:
        await _slots(disk).save(bytes(_AREA.slot_bytes))
    except FormatError:
        assert disk.counts["writes"] == 0
        return
    assert False, "expected FormatError"


async def test_damaged_copy_gives_the_other():
    disk = SimDisk(_BYTES)
    slots = _slots(disk)
    await slots.save(b"old")
    await slots.save(b"new")
    disk.poke(_AREA.offset + _AREA.slot_bytes + SLOT.size, b"N")
    assert await _slots(disk).load() == b"old"


async def test_unreadable_copy_gives_the_other_and_two_raise():
    disk = SimDisk(_BYTES)
    slots = _slots(disk)
    await slots.save(b"old")
    await slots.save(b"new")
    disk.bad_reads = {(_AREA.offset + _AREA.slot_bytes) // 4096}
    assert await _slots(disk).load() == b"old"
    disk.bad_reads.add(_AREA.offset // 4096)
    try:
        await _slots(disk).load()
    except HalError as error:
        assert isinstance(error, MediumError)
        return
    assert False, "expected MediumError"


async def test_failed_save_keeps_the_old_content():
    disk = SimDisk(_BYTES)
    slots = _slots(disk)
    await slots.save(b"old")
    disk.flush_fails = True
    try:
        await slots.save(b"new")
        assert False, "expected BusError"
    except HalError:
        disk.flush_fails = False
    await slots.save(b"newer")
    assert await _slots(disk).load() == b"newer"


async def test_cut_at_every_event_leaves_old_or_new():
    random.seed(2)
    contents = [b"first " * 1000, b"second " * 900, b"third", b"fourth " * 2000]
    cut_at, seen = 0, 0
    while True:
        cut_at += 1
        disk = SimDisk(_BYTES, power=Power(cut_at))
        slots, saved = _slots(disk), None
        try:
            for content in contents:
                await slots.save(content)
                saved = content
            break
        except PowerCut:
            pass
        for _ in range(_CUTS):
            found = await _slots(SimDisk(_BYTES, disk.power_cut(random))).load()
            at = contents.index(saved) + 1 if saved else 0
            assert found in (saved, contents[at]), (cut_at, found)
            seen += 1
    assert seen == 8 * _CUTS  # a write and a flush for each content
