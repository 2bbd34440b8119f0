"""Times as people write them, one row of a table for each form. Used to choose a view (views/choose.py) and by `find`.

A time is as exact as it was written: "yesterday" is a day, "14:00" a minute. `parse` gives its begin and its end.
"""

import datetime
import re

from agent_pc.exits import AgentError
from agent_pc.views.choose import FORMS

_DAY = datetime.timedelta(days=1)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {
    "second": datetime.timedelta(seconds=1),
    "minute": datetime.timedelta(minutes=1),
    "hour": datetime.timedelta(hours=1),
    "day": _DAY,
    "week": 7 * _DAY,
    "month": None,
    "year": None,
}


def parse(text: str, now: datetime.datetime | None = None) -> tuple[int, int]:
    """(first, end) in ns since 1970 of the time that `text` names, in local time. Raises AgentError(USAGE)."""
    now = now or datetime.datetime.now()
    words = " ".join(text.lower().split())
    for pattern, make in _TABLE:
        match = pattern.fullmatch(words)
        if match:
            try:
                first, length = make(now, match)
                return _ns(first), _ns(first + length)
            except (ValueError, OverflowError, OSError):
                break
    raise AgentError("USAGE", f"time {text!r}: expected something like: {FORMS}")


def _ns(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def _ago(now, match) -> tuple:
    count, unit = int(match["count"].replace("an", "1").replace("a", "1")), match["unit"]
    step = _UNITS[unit]
    if step is None:
        return _months(now, count * (12 if unit == "year" else 1)), _UNITS["second"]
    return now - count * step, _UNITS["second"]


def _months(now, count: int):
    """The same day so many months before, or the last of that month."""
    index = now.year * 12 + now.month - 1 - count
    for day in range(now.day, 27, -1):
        try:
            return now.replace(year=index // 12, month=index % 12 + 1, day=day)
        except ValueError:
            pass  # the 31st of a shorter month
    return now.replace(year=index // 12, month=index % 12 + 1)


def _date(now, match) -> tuple:
    year, month, day = [int(match[part]) for part in ("year", "month", "day")]
    return _timed(datetime.datetime(year, month, day), match)


def _zoned(now, match) -> tuple:
    moment = datetime.datetime.fromisoformat(match[0].upper())
    return moment.astimezone().replace(tzinfo=None, fold=0), _UNITS["second"]


def _named(now, match) -> tuple:
    back = {"today": 0, "yesterday": 1}.get(match["name"])
    if back is None:  # a day of the week: the last one, never today
        back = (now.weekday() - _DAYS.index(match["name"]) - 1) % 7 + 1
    return _timed(now.replace(hour=0, minute=0, second=0, microsecond=0) - back * _DAY, match)


def _clock(now, match) -> tuple:
    """The last time that it was so late."""
    first, length = _timed(now.replace(hour=0, minute=0, second=0, microsecond=0), match)
    return (first if first <= now else first - _DAY), length


def _timed(day: datetime.datetime, match) -> tuple:
    if match["hour"] is None:
        return day, _DAY
    first = day.replace(hour=int(match["hour"]), minute=int(match["minute"] or 0), second=int(match["second"] or 0))
    return first, _UNITS["second" if match["second"] else "minute"]


_CLOCK = r"(?P<hour>\d\d?)[:.h-](?P<minute>\d\d)(?:[:.-](?P<second>\d\d))?"
_MAYBE_CLOCK = rf"(?:[ t_,]*(?:at )?{_CLOCK})?"
_ISO = r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)"

_TABLE = tuple(
    (re.compile(pattern), make)
    for pattern, make in (
        (r"now", lambda now, match: (now, _UNITS["second"])),
        (rf"(?:last )?(?P<name>today|yesterday|{'|'.join(_DAYS)}){_MAYBE_CLOCK}", _named),
        (rf"(?P<count>\d{{1,5}}|an?) (?P<unit>{'|'.join(_UNITS)})s? ago", _ago),
        (r"\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(?:z|[+-]\d\d:\d\d)", _zoned),
        (rf"{_ISO}{_MAYBE_CLOCK}", _date),
        (rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{{4}}){_MAYBE_CLOCK}", _date),
        (rf"(?:at )?{_CLOCK}", _clock),
    )
)
