"""set NAME VALUE, set clock."""

import time

from firmware.console.registry import Arg, Command, Listed, Word
from firmware.core.log import stamp
from firmware.core.settings import SETTINGS, Invalid, find
from firmware.formats.refusal import Refusal

VALUE_CHARS = 400
_YEARS = (2020, 2100)


def _names(appliance) -> list:
    return [setting.name for setting in SETTINGS if not setting.secret]


class _Value(Word):
    """Argument type: the value of the setting named before it."""

    label = "what `show config` says of the setting"

    def __init__(self):
        super().__init__(VALUE_CHARS, 0)
        self.label = _Value.label

    def candidates(self, appliance, values: dict) -> list:
        try:
            return list(find(values["name"]).kind.choices)
        except Invalid:
            return []


def _password_changed(appliance, value) -> None:
    if value and not appliance.config.get("console.password"):
        raise Refusal("AUTH", "telnet.enabled: the factory password is still set: change it with `password` first")


# What must hold before a setting takes a value: name -> function(appliance, value) that raises Refusal.
_CONDITIONS = {"telnet.enabled": _password_changed}


async def _set(session, values: dict) -> dict:
    appliance, name, text = session.appliance, values["name"], values["value"]
    setting = find(name)
    if setting.secret:
        raise Refusal("LIMIT", "%s is changed with the command `password`" % name)
    value = setting.parse(text)
    if name in _CONDITIONS:
        _CONDITIONS[name](appliance, value)
    await appliance.config.set(name, text)
    appliance.log.info("console", "%s set to %s" % (name, text))
    return {"name": name, "value": text, "text": '%s is now "%s"' % (name, text)}


def _number(text: str, low: int, high: int):
    return int(text) if text.isdigit() and len(text) < 5 and low <= int(text) <= high else None


class _Date(Word):
    """Argument type: YYYY-MM-DD; gives (year, month, day)."""

    def __init__(self):
        super().__init__(10)
        self.label = "YYYY-MM-DD"

    def parse(self, word: str):
        parts = word.split("-")
        if len(parts) != 3:
            return None
        date = (_number(parts[0], *_YEARS), _number(parts[1], 1, 12), _number(parts[2], 1, 31))
        if None in date or _calendar(_seconds(date, (0, 0, 0)))[:3] != date:
            return None
        return date


class _Time(Word):
    """Argument type: HH:MM or HH:MM:SS; gives (hour, minute, second)."""

    def __init__(self):
        super().__init__(8)
        self.label = "HH:MM or HH:MM:SS"

    def parse(self, word: str):
        parts = word.split(":") + (["00"] if word.count(":") == 1 else [])
        if len(parts) != 3:
            return None
        clock = (_number(parts[0], 0, 23), _number(parts[1], 0, 59), _number(parts[2], 0, 59))
        return None if None in clock else clock


def _calendar(seconds: int) -> tuple:
    return tuple(time.gmtime(seconds)[:6])


def _seconds(date: tuple, clock: tuple) -> int:
    """Seconds since 1970 UTC. Neither interpreter's time has timegm (days_from_civil, H. Hinnant)."""
    year, month, day = date
    year -= month <= 2
    era_day = (153 * ((month + 9) % 12) + 2) // 5 + day - 1 + 365 * year + year // 4 - year // 100 + year // 400
    return (era_day - 719468) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2]


async def _set_clock(session, values: dict) -> dict:
    clock = session.appliance.machine.clock
    clock.set_ns(_seconds(values["date"], values["time"]) * 1000000000)
    session.appliance.log.info("console", "the clock was set")
    now = stamp(clock.now_ns())
    return {"time": now, "text": "the clock is now %s UTC" % now}


COMMANDS = (
    Command(
        "set",
        (Arg("NAME", Listed("the name of a setting", _names), "the setting"), Arg("VALUE", _Value(), "its value", rest=True)),
        "change a setting",
        _set,
    ),
    Command(
        "set clock",
        (Arg("DATE", _Date(), "today's date"), Arg("TIME", _Time(), "the time in UTC")),
        "set the clock, in UTC",
        _set_clock,
    ),
)
