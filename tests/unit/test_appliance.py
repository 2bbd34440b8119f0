"""firmware.appliance: it comes up whatever part fails, feeds the watchdog, keeps panics and last words, goes down in order."""

import time

from firmware import appliance as parts
from firmware import main
from firmware.appliance import Appliance
from hal.errors import BusError, CorruptData, NotReady
from hal.loop import sleep_ms
from hal.sim.disk import SimDisk
from hal.watchdog import Watchdog
from tests.lab.sim_machine import SimMachine


class Dog(Watchdog):
    def __init__(self):
        self.calls = []

    def start(self, timeout_s: int) -> int:
        self.calls.append("start %d" % timeout_s)
        return timeout_s

    def feed(self) -> None:
        self.calls.append("feed")

    def stop(self) -> None:
        self.calls.append("stop")


class Failing(SimMachine):
    """`failing` maps the name of a method to the error that it raises."""

    failing = {}

    async def open_config(self):
        return self._try("open_config") or await super().open_config()

    async def probe_volume(self) -> str:
        return self._try("probe_volume") or await super().probe_volume()

    def make_identity(self, common_name: str):
        return self._try("make_identity") or super().make_identity(common_name)

    def crash_logs(self) -> list:
        return self._try("crash_logs") or []

    def _try(self, name: str):
        if name in self.failing:
            raise self.failing[name]


async def _started(machine) -> Appliance:
    appliance = Appliance(machine)
    await appliance.start()
    return appliance


async def test_every_part_may_fail_and_the_console_still_comes_up():
    errors = {
        "open_config": NotReady("no flash disk"),
        "probe_volume": CorruptData("broken table"),
        "make_identity": ValueError("bad name"),
        "crash_logs": OSError(5),
    }
    for name in errors:
        machine = Failing()
        machine.failing = {name: errors[name]}
        appliance = await _started(machine)
        await machine.serials[0].expect("login: ")
        assert appliance.problems and [text for text in appliance.warnings() if str(errors[name]) in text], (
            name,
            appliance.problems,
        )
        assert appliance.status()["name"] == "bobbin"
        await appliance.shutdown(False)
        assert machine.off == "off"


async def test_identity_is_made_once():
    machine = SimMachine()
    one = await _started(machine)
    made, machine.make_identity = one.identity, None
    await one.shutdown(False)
    two = await _started(SimMachine(machine.config_disk))
    assert two.identity.certificate == made.certificate and two.identity.key == made.key
    await two.shutdown(False)


async def test_watchdog_is_fed_and_stays_armed_over_a_reboot():
    machine = SimMachine()
    machine.watchdog = Dog()
    appliance = await _started(machine)
    await sleep_ms(1200)
    assert machine.watchdog.calls[:2] == ["start 60", "feed"] and len(machine.watchdog.calls) >= 3
    await appliance.shutdown(True)
    assert "stop" not in machine.watchdog.calls and machine.off == "reboot"
    off = SimMachine()
    off.watchdog = Dog()
    await (await _started(off)).shutdown(False)
    assert off.watchdog.calls[-1] == "stop"


async def test_a_blocked_loop_is_reported():
    stall, parts._STALL_MS = parts._STALL_MS, 100
    appliance = await _started(SimMachine())
    await sleep_ms(50)
    time.sleep(1.5)
    await sleep_ms(10)
    parts._STALL_MS = stall
    assert "stood still" in "".join(appliance.log.lines(50))
    await appliance.shutdown(False)


class Panicked(SimMachine):
    cleared = False

    def crash_logs(self) -> list:
        return [] if self.cleared else [("dmesg-efi-1", "Kernel panic - not syncing")]

    def clear_crash_logs(self) -> None:
        self.cleared = True


async def test_kernel_panics_are_kept_and_their_place_freed():
    machine = Panicked()
    appliance = await _started(machine)
    assert machine.cleared and "Kernel panic" in appliance.crash_log.text
    await appliance.shutdown(False)
    again = await _started(SimMachine(machine.config_disk))
    assert "Kernel panic" in again.crash_log.text
    await again.shutdown(False)


async def test_last_words_survive():
    machine = SimMachine()
    appliance = await _started(machine)
    pause, main._BEFORE_REBOOT_MS = main._BEFORE_REBOOT_MS, 1
    try:
        raise BusError("the very last thing")
    except BusError as error:
        await main._last_words(appliance, error)
    main._BEFORE_REBOOT_MS = pause
    assert machine.off == "reboot"
    again = await _started(SimMachine(machine.config_disk))
    assert "the very last thing" in again.crash_log.text
    await again.shutdown(False)
    await appliance.shutdown(False)


async def test_parts_stop_in_order_and_one_that_fails_stops_nothing():
    machine = SimMachine(None, SimDisk(256 << 20))
    appliance = await _started(machine)
    await appliance.format_disk()
    order = []

    async def server_stop():
        order.append("server")
        raise BusError("stuck")

    async def tape_close():
        order.append("tape")

    async def close_volume():
        order.append("disk")

    appliance.server.stop, appliance.tape.close, machine.close_volume = server_stop, tape_close, close_volume
    await appliance.shutdown(False)
    assert order == ["server", "tape", "disk"] and machine.off == "off" and appliance.supervisor.names() == []
