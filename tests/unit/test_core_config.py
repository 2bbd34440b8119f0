"""firmware.core.config and settings: the table, what it refuses, what survives."""

import random

from firmware.core.config import Config
from firmware.core.settings import SETTINGS, Invalid, find, markdown
from firmware.core.slots import Slots
from firmware.formats.config import AREAS
from hal.sim.disk import SimDisk
from hal.sim.power import Power, PowerCut

_BYTES = 1 << 20

_GOOD = (
    ("appliance.name", "box-7.lan", "box-7.lan"),
    ("net.mode", "static", "static"),
    ("net.address", "192.168.1.20", "192.168.1.20"),
    ("net.address", "", ""),
    ("lan.port", "0", 0),
    ("lan.port", "65535", 65535),
    ("telnet.enabled", "on", True),
    ("telnet.enabled", "off", False),
    ("tape.schedule", "weekdays 17:30", ([0, 1, 2, 3, 4], 1050)),
    ("tape.schedule", "mon,sun 00:00", ([0, 6], 0)),
    ("tape.schedule", "", ()),
)

_BAD = (
    ("appliance.name", ""),
    ("appliance.name", "a" * 33),
    ("appliance.name", "with space"),
    ("appliance.name", "na\u00efve"),
    ("net.mode", "DHCP"),
    ("net.address", "192.168.1"),
    ("net.address", "192.168.1.256"),
    ("net.address", "1.2.3.4.5"),
    ("net.address", "1.2.3.+4"),
    ("lan.port", "65536"),
    ("lan.port", "-1"),
    ("lan.port", " 7"),
    ("lan.port", ""),
    ("lan.port", "9" * 100),
    ("telnet.enabled", "yes"),
    ("tape.schedule", "weekdays"),
    ("tape.schedule", "weekdays 24:00"),
    ("tape.schedule", "mon,xxx 10:00"),
    ("tape.schedule", "mon 1:00"),
)


async def _loaded(disk) -> Config:
    config = Config(Slots(disk, AREAS["settings"]))
    await config.load()
    return config


def _refused(name: str, text: str) -> str:
    try:
        find(name).parse(text)
    except Invalid as error:
        return str(error)
    assert False, "expected Invalid for %s=%s" % (name, text)


def test_good_values():
    for name, text, value in _GOOD:
        assert find(name).parse(text) == value, name


def test_bad_values_are_refused_with_name_expectation_and_value():
    for name, text in _BAD:
        complaint = _refused(name, text)
        assert name in complaint and "expected" in complaint and repr(text)[1:10] in complaint, complaint


def test_names_are_unique_and_defaults_are_allowed():
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        setting.parse(setting.default)


def test_documentation_names_every_setting():
    page = markdown()
    assert all(["`%s`" % setting.name in page for setting in SETTINGS])


async def test_defaults_then_board_then_stored():
    disk = SimDisk(_BYTES)
    assert (await _loaded(disk)).get("lan.port") == 7170
    board = Config(Slots(disk, AREAS["settings"]), {"lan.port": "0"})
    assert board.get("lan.port") == 0
    await board.set("lan.port", "7000")
    assert board.get("lan.port") == 7000
    assert (await _loaded(disk)).get("lan.port") == 7000


async def test_refused_value_changes_nothing():
    disk = SimDisk(_BYTES)
    config = await _loaded(disk)
    for name, text in _BAD + (("no.such", "1"),):
        try:
            await config.set(name, text)
            assert False, "expected Invalid"
        except Invalid:
            pass
    assert disk.counts["writes"] == 0


async def test_watcher_runs_after_its_setting_only():
    config, calls = Config(None), []
    config.watch("telnet.enabled", lambda: calls.append(config.get("telnet.enabled")))
    await config.set("telnet.port", "2323")
    await config.set("telnet.enabled", "on")
    assert calls == [True]


async def test_values_of_another_version_are_ignored_and_named():
    disk = SimDisk(_BYTES)
    await Slots(disk, AREAS["settings"]).save(b"lan.port=99999\nfuture.thing=1\nnet.mode=static\n")
    config = await _loaded(disk)
    assert config.get("lan.port") == 7170 and config.get("net.mode") == "static"
    assert len(config.ignored) == 2 and "lan.port" in config.ignored[0]


async def test_power_cut_at_every_event_leaves_the_old_or_the_new_value():
    random.seed(3)
    cut_at = 0
    while True:
        cut_at += 1
        disk = SimDisk(_BYTES, power=Power(cut_at))
        done = 0
        try:
            config = await _loaded(disk)
            for value in range(1, 5):
                await config.set("backup.sessions", str(value))
                done = value
            break
        except PowerCut:
            pass
        for _ in range(4):
            found = (await _loaded(SimDisk(_BYTES, disk.power_cut(random)))).get("backup.sessions")
            assert found in (done or 4, done + 1), (cut_at, done, found)
    assert cut_at == 9
