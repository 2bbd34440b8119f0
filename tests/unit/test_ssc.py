"""The tape driver against scripted faults of the simulated drive. Both interpreters."""

import asyncio
import os

from hal import errors
from hal.scsi import ScsiResult
from hal.sim import tape as sim_module
from hal.sim.cartridge import Cartridge
from hal.sim.tape import PROFILES, Profile, SimTapeDrive
from hal.ssc import cdb
from hal.ssc import sense as sns
from hal.ssc.drive import SscTape

KIB = 1024
NAMES = tuple(sorted(PROFILES))


def block(number: int, length: int = KIB) -> bytes:
    return (b"%06d." % number * (length // 7 + 1))[:length]


async def raises(kind, awaitable):
    try:
        result = await awaitable
    except kind as error:
        return error
    raise AssertionError("expected %s, got %r" % (kind, result))


def drive(profile="lto", count=0, **media):
    """(simulated drive, driver) with `count` blocks recorded."""
    sim = SimTapeDrive(Cartridge(**media), PROFILES[profile] if isinstance(profile, str) else profile)
    for number in range(count):
        sim.cartridge.put(number, block(number))
    return sim, SscTape(sim)


async def ready(profile="lto", count=0, **media):
    sim, tape = drive(profile, count, **media)
    await tape.rewind()
    return sim, tape


async def reads(tape, number: int) -> None:
    buffer = bytearray(KIB)
    assert await tape.read(buffer) == KIB
    assert buffer == block(number), (number, buffer[:12])


async def test_power_on_attention_is_cleared_by_the_first_rewind():
    sim, tape = drive()
    sim.reset()
    sim.attention(0x28, 0x00)
    await tape.rewind()
    assert await tape.position() == 0


async def test_attention_in_the_middle_is_raised_and_the_position_lost():
    for command in ("read", "write", "write_filemarks", "locate", "space_filemarks"):
        for code in (0x28, 0x29):
            sim, tape = await ready(count=8)
            await reads(tape, 0)
            sim._rewound()
            sim.attention(code, 0x00)
            argument = {"read": bytearray(KIB), "write": block(9)}.get(command, 1)
            error = await raises(errors.UnitAttention, getattr(tape, command)(argument))
            assert error.sense == (sns.ATTENTION, code, 0)
            await raises(errors.UnitAttention, getattr(tape, command)(argument))
            await raises(errors.UnitAttention, tape.position())
            assert len(sim.cartridge.objects) == 8
            await tape.rewind()
            await reads(tape, 0)


async def test_status_clears_the_attention_but_the_writer_learns_of_it():
    sim, tape = await ready(count=4)
    sim.reset()
    assert (await tape.status()).loaded
    await raises(errors.UnitAttention, tape.write(block(0)))
    assert len(sim.cartridge.objects) == 4


async def test_reset_takes_the_mode_along():
    sim, tape = await ready()
    sim.reset()
    sim.block_length = 512
    await raises(errors.UnitAttention, tape.write(block(0)))
    await tape.rewind()
    assert sim.block_length == 0


async def test_rewind_of_a_known_position_reports_a_change_once():
    sim, tape = await ready(count=1)
    sim.insert(Cartridge())
    await raises(errors.UnitAttention, tape.rewind())
    await tape.rewind()
    await raises(errors.BlankCheck, tape.read(bytearray(KIB)))


async def test_medium_error_leaves_the_position_behind_the_block():
    for profile in NAMES:
        sim, tape = await ready(profile, 10)
        sim.cartridge.damage(3, 3)
        for number in range(10):
            if 3 <= number < 6:
                error = await raises(errors.MediumError, tape.read(bytearray(KIB)))
                assert error.sense[0] == sns.MEDIUM and "block %d" % number in str(error)
            else:
                await reads(tape, number)
            assert await tape.position() == number + 1


async def test_unreadable_first_block_does_not_mislead_the_addresses():
    for profile in NAMES:
        sim, tape = drive(profile, 6)
        sim.cartridge.damage(0)
        await tape.rewind()
        await raises(errors.MediumError, tape.read(bytearray(KIB)))
        await reads(tape, 1)
        await tape.locate(4)
        await reads(tape, 4)
        assert await tape.position() == 5


async def test_medium_error_that_cannot_be_passed_gives_the_position_up():
    sim, tape = await ready("plain", 5)
    sim.cartridge.damage(2)
    await reads(tape, 0)
    await reads(tape, 1)
    sim.fault(cdb.REWIND, sense=(sns.HARDWARE, 0x15, 0x01))
    await raises(errors.MediumError, tape.read(bytearray(KIB)))
    await raises(errors.UnitAttention, tape.position())
    await tape.rewind()
    await tape.locate(3)
    await reads(tape, 3)


async def test_write_error():
    sim, tape = await ready()
    sim.cartridge.bad_write.add(1)
    await tape.write(block(0))
    await raises(errors.MediumError, tape.write(block(1)))
    assert await tape.position() == 1
    sim.cartridge.bad_write.clear()
    await tape.write(block(1))
    assert sim.cartridge.objects == [block(0), block(1)]


async def test_early_warning_then_end_of_medium():
    sim, tape = await ready(capacity_bytes=8 * KIB, early_bytes=3 * KIB)
    warned = []
    for number in range(8):
        warned.append(await tape.write(block(number)))
    assert warned == [False] * 5 + [True] * 3
    error = await raises(errors.EndOfMedium, tape.write(block(8)))
    assert error.sense == (sns.OVERFLOW, 0, 2)
    assert await tape.position() == 8
    await tape.write_filemarks(1)
    await tape.rewind()
    for number in range(8):
        await reads(tape, number)
    await raises(errors.FileMark, tape.read(bytearray(KIB)))


async def test_write_protected():
    for profile in NAMES:
        sim, tape = drive(profile, 6, write_protected=True)
        assert (await tape.status()).write_protected
        await tape.rewind()
        await raises(errors.WriteProtected, tape.write(block(0)))
        assert await tape.position() == 0
        await tape.locate(4)
        await reads(tape, 4)


async def test_worm_refuses_to_overwrite():
    sim, tape = await ready(count=2, worm=True)
    error = await raises(errors.WriteProtected, tape.write(block(9)))
    assert error.sense[1:] == (0x30, 0x0C)
    await tape.locate(2)
    await tape.write(block(2))
    assert sim.cartridge.objects[0] == block(0)


async def test_not_ready():
    tape = SscTape(SimTapeDrive(None))
    status = await tape.status()
    assert not status.loaded and status.vendor == "BOBBIN" and status.serial == "SIM00001"
    await raises(errors.NotReady, tape.rewind())
    await raises(errors.NotReady, tape.load())


async def test_becoming_ready_is_waited_for():
    sim, tape = drive(count=2)
    sim.becoming_ready = 4
    await tape.load()
    await reads(tape, 0)
    sim.becoming_ready = 4
    await tape.rewind()
    await reads(tape, 0)


async def test_not_ready_in_the_middle_loses_the_position():
    sim, tape = await ready(count=4)
    sim.loaded = False
    await raises(errors.NotReady, tape.read(bytearray(KIB)))
    sim.loaded = True
    await raises(errors.UnitAttention, tape.read(bytearray(KIB)))


async def test_aborted_command_loses_the_position():
    for opcode, argument, name in ((cdb.READ_6, bytearray(KIB), "read"), (cdb.WRITE_6, block(1), "write")):
        sim, tape = await ready(count=4)
        sim.fault(opcode, sense=(sns.ABORTED, 0x47, 0x00), executed=True)
        await raises(errors.BusError, getattr(tape, name)(argument))
        await raises(errors.UnitAttention, tape.position())


async def test_connection_drop_loses_the_position_whether_executed_or_not():
    for executed in (False, True):
        sim, tape = await ready()
        await tape.write(block(0))
        sim.fault(cdb.WRITE_6, error=errors.BusError, executed=executed)
        await raises(errors.BusError, tape.write(block(1)))
        await raises(errors.UnitAttention, tape.write(block(1)))
        assert len(sim.cartridge.objects) == 1 + executed
    sim.drop()
    await raises(errors.BusError, tape.rewind())


async def test_timeout_loses_the_position():
    sim, tape = await ready(count=4)
    sim.fault(cdb.LOCATE, error=errors.Timeout)
    await raises(errors.Timeout, tape.locate(2))
    await raises(errors.UnitAttention, tape.position())


async def test_cancelled_command_loses_the_position():
    sim, tape = await ready(count=4)

    async def hang(*arguments):
        await asyncio.sleep(10)

    execute, sim.execute = sim.execute, hang
    task = asyncio.create_task(tape.read(bytearray(KIB)))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    sim.execute = execute
    await raises(errors.UnitAttention, tape.position())


async def test_deferred_write_error_is_not_taken_for_this_command():
    class Deferred(SimTapeDrive):
        def _strike(self, fault):
            result = super()._strike(fault)
            result.sense = bytes((0x71,)) + result.sense[1:]
            return result

    sim = Deferred(Cartridge())
    tape = SscTape(sim)
    await tape.rewind()
    await tape.write(block(0))
    sim.fault(cdb.WRITE_6, sense=(sns.MEDIUM, 0x0C, 0x00))
    error = await raises(errors.MediumError, tape.write(block(1)))
    assert "deferred" in str(error)
    await raises(errors.UnitAttention, tape.position())


async def test_immediate_motion_is_polled_and_refusal_remembered():
    sim, tape = await ready("lto", 4)
    del sim.commands[:]
    await tape.rewind()
    assert sim.commands == [cdb.REWIND] + [cdb.TEST_UNIT_READY] * 3
    sim, tape = await ready("plain", 4)
    del sim.commands[:]
    await tape.rewind()
    assert sim.commands == [cdb.REWIND]


async def test_addresses_of_a_drive_that_counts_the_beginning():
    sim, tape = await ready("istgt", 9)
    for number in (7, 0, 3, 8, 1):
        await tape.locate(number)
        assert await tape.position() == number
        await reads(tape, number)
    status = await tape.status()
    assert status.can_locate and status.has_position


async def test_a_blank_tape_tells_the_origin_at_the_first_write():
    for profile, expected in (("istgt", True), ("lto", True), ("tgt", False), ("plain", False)):
        sim, tape = await ready(profile)
        for number in range(5):
            await tape.write(block(number))
            assert await tape.position() == number + 1
        status = await tape.status()
        assert status.has_position == expected and status.can_locate == expected
        await tape.locate(2)
        await reads(tape, 2)


async def test_another_initiator_that_moves_the_tape_is_noticed():
    sim, tape = await ready("lto", 9)
    await reads(tape, 0)
    sim._at = 5
    await raises(errors.BusError, tape.position())
    await raises(errors.UnitAttention, tape.read(bytearray(KIB)))


async def test_fixed_block_drive_that_refuses_variable_mode():
    sim, tape = drive()
    sim.block_length = 512
    sim.fault(cdb.MODE_SELECT, sense=(sns.ILLEGAL, 0x24, 0x00))
    error = await raises(errors.Unsupported, tape.rewind())
    assert "512" in str(error)


async def test_busy_is_retried():
    sim, tape = await ready(count=1)
    real, seen = sim.execute, []

    async def busy_once(command, *rest):
        if not seen:
            seen.append(command)
            return ScsiResult(0x08, b"", 0)
        return await real(command, *rest)

    sim.execute = busy_once
    del sim.commands[:]
    await reads(tape, 0)
    assert sim.commands == [cdb.READ_6]


async def test_reservation_conflict():
    sim, tape = await ready(count=1)

    async def reserved(command, *rest):
        return ScsiResult(0x18, b"", 0)

    sim.execute = reserved
    error = await raises(errors.NotReady, tape.read(bytearray(KIB)))
    assert "another host" in str(error)


async def test_not_a_tape_drive():
    class Disk(SimTapeDrive):
        def _inquiry(self, command, data):
            super()._inquiry(command, data)
            data[0] = 0
            return len(data)

    handlers = sim_module._HANDLERS
    kept = handlers[cdb.INQUIRY]
    handlers[cdb.INQUIRY] = Disk._inquiry
    try:
        await raises(errors.NotReady, SscTape(Disk(Cartridge())).status())
    finally:
        handlers[cdb.INQUIRY] = kept


async def test_status_does_not_wait_for_a_running_sequence():
    sim, tape = await ready(count=1)
    first = await tape.status()
    async with tape._lock:
        assert await tape.status() is first


async def test_block_limits():
    sim, tape = drive(Profile(max_block=65536, min_block=4))
    status = await tape.status()
    assert (status.block_min, status.block_max) == (4, 65536)
    sim = SimTapeDrive(Cartridge(), max_transfer_bytes=32768)
    assert (await SscTape(sim).status()).block_max == 32768


async def test_no_command_asks_for_more_than_the_transport_carries():
    sim = SimTapeDrive(Cartridge(), max_transfer_bytes=4 * KIB)
    tape = SscTape(sim)
    await tape.rewind()
    await tape.write(block(0, 4 * KIB))
    await tape.rewind()
    buffer = bytearray(64 * KIB)
    assert await tape.read(buffer) == 4 * KIB
    assert buffer[: 4 * KIB] == block(0, 4 * KIB)
    sim.cartridge.put(1, block(1, 5 * KIB))
    assert (await raises(errors.WrongLength, tape.read(buffer))).actual == 5 * KIB
    assert await tape.position() == 2


async def test_unload_writes_what_is_buffered():
    sim, tape = await ready()
    await tape.write(block(0))
    del sim.commands[:]
    await tape.unload()
    assert sim.commands[0] == cdb.WRITE_FILEMARKS and cdb.LOAD_UNLOAD in sim.commands
    assert not sim.loaded
    await tape.load()
    await reads(tape, 0)


async def test_cartridge_file():
    cartridge = Cartridge()
    for number, item in enumerate((b"one", None, b"", block(3))):
        cartridge.put(number, item)
    path = "cartridge-%d.tmp" % id(cartridge)
    try:
        cartridge.save(path)
        again = Cartridge()
        again.restore(path)
        assert again.objects == cartridge.objects
        with open(path, "rb") as file:
            raw = file.read()
        with open(path, "wb") as file:
            file.write(raw[:-6])
        try:
            Cartridge().restore(path)
            raise AssertionError("a cut file was accepted")
        except ValueError:
            pass
    finally:
        os.remove(path)
