"""firmware.core.log and logfile: bounds, levels, hostile text, what survives."""

import os

from firmware.core import logfile
from firmware.core.log import Log, stamp
from firmware.core.logfile import CrashLog, LogFile
from firmware.core.slots import Slots
from firmware.formats.config import AREAS
from hal.sim.disk import SimDisk
from tests.lab.sim_machine import SimClock


def _log() -> Log:
    return Log(SimClock())


def test_stamp():
    assert stamp(1700000000123456789) == "2023-11-14 22:13:20"


def test_ring_is_bounded_and_keeps_the_newest():
    log = _log()
    for number in range(2000):
        log.info("test", "entry %d" % number)
    lines = log.lines(10000)
    assert len(lines) == 500 and lines[-1].endswith("entry 1999") and log.lines(2) == lines[-2:]


def test_level_filters():
    log = _log()
    log.level = "warning"
    log.info("test", "quiet")
    log.error("test", "loud")
    assert [line[-4:] for line in log.lines(10)] == ["loud"]


def test_hostile_text_cannot_steer_a_terminal_or_fill_the_log():
    log = _log()
    log.info("lan", "name \x1b[2J\r\x07\x9b" + "x" * 100000)
    (line,) = log.lines(10)
    assert "\x1b" not in line and "\r" not in line and len(line) < 5000


def test_several_lines_become_several_entries():
    log = _log()
    log.error("test", "one\ntwo")
    assert [line.split(": ")[1] for line in log.lines(10)] == ["one", "two"]


def _folder() -> str:
    name = "/tmp/bobbin-log-%d" % int.from_bytes(os.urandom(6), "big")
    os.mkdir(name)
    return name


def _clean(folder: str) -> None:
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
    os.rmdir(folder)


def test_file_rotates():
    folder = _folder()
    limit, logfile._FILE_BYTES = logfile._FILE_BYTES, 1000
    file = LogFile(folder)
    for number in range(40):
        file.sink("info", "line %d %s" % (number, "x" * 50))
        file.flush()
    logfile._FILE_BYTES = limit
    sizes = [os.stat(folder + "/" + name)[6] for name in sorted(os.listdir(folder))]
    assert sorted(os.listdir(folder)) == ["bobbin.log", "bobbin.log.1"] and max(sizes) < 1100
    _clean(folder)


def test_file_drops_lines_when_too_many_wait_and_says_so():
    folder = _folder()
    file = LogFile(folder)
    for number in range(logfile._WAITING_LINES + 7):
        file.sink("info", "line")
    file.flush()
    with open(folder + "/bobbin.log") as text:
        lines = text.read().split("\n")
    assert len(lines) == logfile._WAITING_LINES + 2 and "7 lines were lost" in lines[-2]
    _clean(folder)


def test_failing_filesystem_does_no_harm():
    file = LogFile("/nonexistent")
    file.sink("info", "line")
    file.flush()
    assert file.dropped == 1


async def test_crash_log_survives_and_is_bounded():
    disk = SimDisk(1 << 20)
    crash = CrashLog(Slots(disk, AREAS["crash"]))
    await crash.load()
    for number in range(50):
        crash.sink("traceback %d\n%s" % (number, "y" * 1000))
    await crash.save()
    again = CrashLog(Slots(disk, AREAS["crash"]))
    await again.load()
    assert "traceback 49" in again.text and "traceback 0\n" not in again.text and len(again.text) == 16 << 10
    await again.clear()
    await crash.load()
    assert again.text == ""


async def test_crash_log_without_a_config_disk():
    crash = CrashLog(None)
    await crash.load()
    crash.sink("traceback")
    await crash.save()
    assert crash.text == "traceback"
