"""The tape service over a real store and a simulated drive: label, backup, verify, mount, and every refusal."""

import asyncio

from firmware.formats import tape as form
from firmware.formats.refusal import Refusal
from firmware.tape.service import TapeService
from hal.errors import BusError, EndOfMedium, HalError, MediumError, NotReady, WriteProtected
from hal.loop import sleep_ms
from hal.sim.cartridge import Cartridge
from hal.sim.kv import SimKv, SimKvStorage
from hal.sim.tape import Profile, SimTapeDrive
from hal.ssc import cdb
from tests.fixtures import model
from tests.unit.tape_parts import PROCESSOR, FakeClock
from tests.unit.test_store import Bench, contents, restored

_DAY_NS = 86400 * 1000000000
FILES = {b"a": contents(1, 300000), b"b": b"hello", b"c": contents(2, 700000)}


class Machine:
    """Of a board, what the tape service uses."""

    def __init__(self, target):
        self.processor = PROCESSOR
        self.clock = FakeClock()
        self.target = target
        self.scratch = "/nonexistent"

    async def tape_transports(self) -> list:
        if self.target:
            self.target.connect()
        return [self.target] if self.target else []

    def open_kv(self, directory: str, tables, duplicates=(), map_bytes: int = 0, read_only: bool = False):
        return SimKv(SimKvStorage(), tables, duplicates)


class Target(SimTapeDrive):
    def connect(self) -> None:
        self._gone = False


class Log:
    def __init__(self):
        self.lines = []

    def info(self, source: str, text: str) -> None:
        self.lines.append(text)

    error = info


class Appliance:
    """Of the appliance, what the tape service uses."""

    def __init__(self, store, target, machine=None):
        self.store = store
        self.machine = machine or Machine(target)
        self.mounted = None
        self.log = Log()
        self.settings = {"appliance.name": "box", "tape.geometry": "small", "tape.keep_days": 0}
        self.config = self
        self.tape = TapeService(self)

    def get(self, name: str):
        return self.settings[name]

    def work_directory(self) -> str:
        return self.machine.scratch

    def disk_advice(self) -> str:
        return "no disk"


async def appliance_with(cartridge, max_block: int = 16384):
    """(Appliance, its target, Bench, client, view of FILES)"""
    target = Target(cartridge, Profile(polls=0, max_block=max_block))
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    view, _ = await model.ModelAgent(PROCESSOR).backup(await store.begin(client.id), FILES)
    return Appliance(store, target), target, bench, client, view


async def raised(kind, awaitable) -> str:
    try:
        await awaitable
    except (HalError, Refusal) as error:
        assert isinstance(error, kind), "expected %s, got %r" % (kind, error)
        return str(error)
    raise AssertionError("expected %s" % (kind,))


async def mounted_files(appliance, client, view: int) -> dict:
    reader = appliance.mounted.reader(client.uuid)
    row = [row for row in reader.views() if row.view == view][0]
    return await model.restore(reader, PROCESSOR, row.root_group, row.root_index)


async def test_whole_cycle():
    cartridge = Cartridge()
    appliance, target, bench, client, view = await appliance_with(cartridge)
    service = appliance.tape
    assert "labelled monday" in (await service.label("monday"))["text"]
    status = await service.status()
    assert (status["name"], status["contents"]) == ("monday", "labelled, empty")
    assert "monday is complete" in (await service.backup())["text"]
    assert "monday is sound" in (await service.verify())["text"]
    assert "ejected" in (await service.eject())["text"]
    assert (await service.status())["loaded"] is False
    assert "no tape in the drive" in await raised(NotReady, service.verify())
    await service.load()
    await service.mount()
    assert appliance.mounted.label == "monday" and (await service.status())["mounted"] == "monday"
    assert await mounted_files(appliance, client, view) == FILES
    for command in (service.backup, service.verify, service.eject, service.mount):
        assert "mounted" in await raised(Refusal, command())
    await service.unmount()
    assert appliance.mounted is None
    assert "no tape is mounted" in await raised(Refusal, service.unmount())
    await service.close()


async def test_the_image_is_of_one_instant():
    """A backup, a deletion and a backup again while the copy runs do not show on the tape."""
    appliance, target, bench, client, view = await appliance_with(Cartridge())
    store = appliance.store
    task = asyncio.create_task(appliance.tape.backup())
    while appliance.tape.job is None or not appliance.tape.job.done_bytes:
        await sleep_ms(0)
    other = {b"z": contents(9, 200000)}
    late, _ = await model.ModelAgent(PROCESSOR).backup(await store.begin(client.id), other)
    await store.delete_view(client.id, view)
    await store.collector.drain()
    await task
    assert [row.view for row in store.views(client.id)] == [late]
    await appliance.tape.mount()
    assert [row.view for row in appliance.mounted.reader(client.uuid).views()] == [view]
    assert await mounted_files(appliance, client, view) == FILES


async def test_a_stranger_mounts_the_tape():
    cartridge = Cartridge()
    appliance, _, _, client, view = await appliance_with(cartridge)
    await appliance.tape.backup()
    blank = Appliance(None, Target(cartridge, Profile(polls=0)))
    await blank.tape.mount()
    assert await mounted_files(blank, client, view) == FILES
    assert blank.mounted.reader(b"another client 1").views() == []


async def test_damage_within_and_beyond():
    cartridge = Cartridge()
    appliance, _, bench, client, view = await appliance_with(cartridge)
    await appliance.tape.backup()
    cartridge.corrupt(form.IMAGE_ADDRESS + 3, 16)  # burst of "small": 4 * 4
    report = await appliance.tape.verify()
    assert report["corrected"] == 16 and report["worst"] == 4
    await appliance.tape.mount()
    assert await mounted_files(appliance, client, view) == FILES
    await appliance.tape.unmount()
    cartridge.damage(form.IMAGE_ADDRESS + 3, 20)
    assert "beyond correction" in await raised(MediumError, appliance.tape.verify())
    await appliance.tape.mount()
    await appliance.tape.unmount()


async def test_beyond_correction_the_lost_files_are_named_and_the_rest_comes_back():
    cartridge = Cartridge()
    appliance, target, bench, client, view = await appliance_with(cartridge)
    files = {b"f%02d" % n: contents(n, 60000) for n in range(40)}
    view, _ = await model.ModelAgent(PROCESSOR).backup(await appliance.store.begin(client.id), files)
    await appliance.tape.backup()
    image_blocks = [at for at, block in enumerate(cartridge.objects) if block is None][1] - form.IMAGE_ADDRESS
    cartridge.damage(form.IMAGE_ADDRESS + image_blocks // 3, 17)
    await appliance.tape.mount()
    reader = appliance.mounted.reader(client.uuid)
    row = [row for row in reader.views() if row.view == view][0]
    told = []
    found = await model.restore(reader, PROCESSOR, row.root_group, row.root_index, told)
    lost = sorted([name for name in files if name not in found])
    assert 0 < len(lost) < 10, lost
    assert all([files[name] == found[name] for name in found])
    assert len(told) == len(lost) and all(["beyond correction" in text for text in told]), told


async def test_blank_foreign_and_kept_tapes():
    appliance, target, bench, client, view = await appliance_with(Cartridge())
    service = appliance.tape
    assert "blank tape" in await raised(NotReady, service.mount())
    await service.backup()
    assert (await service.status())["name"].startswith("T"), "a blank tape gets a name"

    foreign = Cartridge()
    foreign.put(0, b"VOL1ABC123" + b" " * 14 + b"OTHERMAKER   " + b" " * 42 + b"4")
    target.insert(foreign)
    told = await raised(WriteProtected, service.backup())
    assert "ABC123" in told and "OTHERMAKER" in told and "force" in told
    assert "ABC123" in await raised(WriteProtected, service.label("mine"))
    assert "ABC123" in await raised(NotReady, service.mount())
    assert len(foreign.objects) == 1, "a foreign tape is not touched"
    await service.label("mine", True)
    assert "holds no image yet" in await raised(NotReady, service.verify())

    appliance.settings["tape.keep_days"] = 10
    await service.backup()
    kept = list(foreign.objects)
    text = await raised(WriteProtected, service.backup())
    assert "kept until" in text and "`tape label mine force`" in text
    assert "kept until" in await raised(WriteProtected, service.label("other"))
    assert foreign.objects == kept
    appliance.machine.clock.now += 11 * _DAY_NS
    await service.backup()
    assert foreign.objects != kept
    await service.label("other", True)


async def test_a_tape_of_another_disk_is_refused():
    cartridge = Cartridge()
    appliance, _, _, _, _ = await appliance_with(cartridge)
    await appliance.tape.backup()
    other, target, _, _, _ = await appliance_with(cartridge)
    other.store.uuid = b"v" * 16
    assert "written by box" in await raised(WriteProtected, other.tape.backup())
    await other.tape.label("taken", True)
    await other.tape.backup()


async def test_write_protected_small_and_absent():
    appliance, target, bench, client, view = await appliance_with(Cartridge(capacity_bytes=600000))
    told = await raised(EndOfMedium, appliance.tape.backup())
    assert "too small" in told and "needs at least" in told
    assert "unfinished" in await raised(NotReady, appliance.tape.mount())
    assert appliance.tape.job is None
    target.insert(Cartridge(write_protected=True))
    assert "write-protected" in await raised(WriteProtected, appliance.tape.backup())
    target.insert(None)
    assert "no tape in the drive" in await raised(NotReady, appliance.tape.backup())
    assert (await appliance.tape.status())["loaded"] is False
    nothing = Appliance(appliance.store, None)
    assert "no tape drive" in await raised(NotReady, nothing.tape.backup())
    assert (await nothing.tape.status())["drive"] == "none"
    assert "no store" in await raised(Refusal, Appliance(None, target).tape.backup())
    assert "expected" in await raised(Refusal, appliance.tape.label("no good name"))


async def test_one_job_at_a_time_and_close_ends_it():
    cartridge = Cartridge()
    appliance, target, bench, client, view = await appliance_with(cartridge)
    task = asyncio.create_task(appliance.tape.backup())
    while appliance.tape.job is None or not appliance.tape.job.done_bytes:
        await sleep_ms(0)
    assert "backup is running" in await raised(Refusal, appliance.tape.verify())
    status = await appliance.tape.status()
    assert status["loaded"] is True
    await appliance.tape.close()
    try:
        await task
        raise AssertionError("the copy was not ended")
    except asyncio.CancelledError:
        pass
    assert appliance.tape.job is None
    other = Appliance(None, Target(cartridge, Profile(polls=0)))
    assert "unfinished" in await raised(NotReady, other.tape.mount())
    again = await bench.reopen()
    assert await restored(again, client, view) == FILES, "the pinned segments are whole"


async def test_reset_while_reading_goes_on():
    cartridge = Cartridge()
    appliance, target, bench, client, view = await appliance_with(cartridge)
    await appliance.tape.backup()
    await appliance.tape.mount()
    target.reset()
    assert await mounted_files(appliance, client, view) == FILES
    target.fault(cdb.READ_6, error=BusError, after=2, executed=True)
    assert await mounted_files(appliance, client, view) == FILES
    assert appliance.mounted.image.blocks.recoveries >= 1
    await appliance.tape.unmount()
    target.fault(cdb.READ_6, error=BusError, after=5, executed=True)
    assert "is sound" in (await appliance.tape.verify())["text"]


async def test_an_exchanged_tape_is_noticed():
    cartridge, other = Cartridge(), Cartridge()
    appliance, target, bench, client, view = await appliance_with(other)
    await appliance.tape.label("other")
    target.insert(cartridge)
    await appliance.tape.label("mine")
    await appliance.tape.backup()
    await appliance.tape.mount()
    target.insert(other)
    reader = appliance.mounted.reader(client.uuid)
    told = await raised(NotReady, appliance.mounted.disk.read(1 << 20, bytearray(4096)))
    assert "mine was exchanged" in told and "other" in told
    assert [row.view for row in reader.views()] == [view], "the catalog is still there"


async def test_worm():
    """A blank one takes one image and no second; one that was only labelled takes none. Nothing claims otherwise."""
    appliance, target, bench, client, view = await appliance_with(Cartridge(worm=True))
    await appliance.tape.backup()
    first = await appliance.tape.status()
    assert (await appliance.tape.verify())["damaged"] == 0
    assert "WORM" in await raised(WriteProtected, appliance.tape.backup())
    assert (await appliance.tape.status())["contents"] == first["contents"]
    await appliance.tape.mount()
    assert await mounted_files(appliance, client, view) == FILES
    await appliance.tape.unmount()
    target.insert(Cartridge(worm=True))
    await appliance.tape.label("once")
    assert "WORM" in await raised(WriteProtected, appliance.tape.backup())
    assert (await appliance.tape.status())["contents"] == "labelled, empty"


async def test_a_tape_exchanged_without_a_word_is_noticed():
    """mhvtl and istgt give no unit attention: the drive only stands elsewhere."""
    other = Cartridge()
    appliance, target, bench, client, view = await appliance_with(other)
    await appliance.tape.label("other")
    target.insert(Cartridge())
    await appliance.tape.label("mine")
    await appliance.tape.backup()
    assert (await appliance.tape.status())["name"] == "mine"
    target.insert(other, announced=False)
    assert (await appliance.tape.status())["name"] == "other"


async def test_reset_while_writing_leaves_an_unfinished_tape():
    for fault in ({"error": BusError}, {"sense": (6, 0x29, 0)}, {"sense": (3, 0x0C, 0)}, {"sense": (4, 0x44, 0)}):
        cartridge = Cartridge()
        appliance, target, bench, client, view = await appliance_with(cartridge)
        target.fault(cdb.WRITE_6, after=30, executed="error" in fault, **fault)
        told = await raised(HalError, appliance.tape.backup())
        assert told
        assert "unfinished" in await raised(NotReady, appliance.tape.mount()), fault
        assert "is complete" in (await appliance.tape.backup())["text"]


async def _pulled_while(appliance, target, command) -> None:
    """Somebody presses the drive's button again and again while `command` runs: nothing comes out, and the command ends well."""
    task = asyncio.create_task(command())
    tried = 0
    while not task.done():
        if appliance.tape.job is not None and appliance.tape.job.done_bytes:
            assert not target.pull(), "the cartridge came out during tape %s" % appliance.tape.job.name
            tried += 1
        await sleep_ms(0)
    await task
    assert tried


async def test_the_cartridge_is_locked_in_while_it_is_needed():
    appliance, target, _, client, view = await appliance_with(Cartridge())
    service = appliance.tape
    await service.label("monday")
    for command in (service.backup, service.verify):
        await _pulled_while(appliance, target, command)
        assert not target.locked
    await service.mount()
    assert not target.pull()
    assert await mounted_files(appliance, client, view) == FILES
    await service.unmount()
    assert target.pull()


async def test_a_job_that_fails_lets_go_of_the_cartridge():
    appliance, target, _, _, _ = await appliance_with(Cartridge())
    service = appliance.tape
    await service.label("monday")
    for command in (service.verify, service.mount):  # nothing is on it yet
        await raised((HalError, Refusal), command())
        assert not target.locked
    target.fault(cdb.WRITE_6, sense=(0x03, 0x0C, 0x00), after=3)
    await raised(MediumError, service.backup())
    assert not target.locked
    await service.label("tuesday", force=True)
    task = asyncio.create_task(service.backup())
    while not target.locked and not task.done():
        await sleep_ms(0)
    assert target.locked
    await service.close()
    assert not target.locked
    try:
        await task
    except asyncio.CancelledError:
        pass


async def test_a_drive_that_cannot_lock_is_used_as_it_is():
    appliance, target, _, client, view = await appliance_with(Cartridge())
    target.profile = Profile(polls=0, max_block=16384, locks=False)
    service = appliance.tape
    await service.backup()
    await service.verify()
    await service.mount()
    assert await mounted_files(appliance, client, view) == FILES
    await service.unmount()
    assert cdb.PREVENT_ALLOW in target.commands
