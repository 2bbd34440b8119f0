"""Times as people write them, and the views that they choose."""

import datetime

import pytest

from agent_pc.exits import AgentError
from agent_pc.views import choose, when
from firmware.formats import message

# A Wednesday
_NOW = datetime.datetime(2026, 11, 4, 15, 30, 20)
_SECOND = 1_000_000_000

_TABLE = (
    ("now", "2026-11-04 15:30:20", 1),
    ("today", "2026-11-04 00:00:00", 86400),
    ("yesterday", "2026-11-03 00:00:00", 86400),
    ("Yesterday  14:00", "2026-11-03 14:00:00", 60),
    ("yesterday at 14:00:05", "2026-11-03 14:00:05", 1),
    ("last monday 9:00", "2026-11-02 09:00:00", 60),
    ("wednesday", "2026-10-28 00:00:00", 86400),  # never today
    ("thursday", "2026-10-29 00:00:00", 86400),
    ("14:00", "2026-11-04 14:00:00", 60),
    ("16:00", "2026-11-03 16:00:00", 60),  # today it was not so late yet
    ("2026-11-03", "2026-11-03 00:00:00", 86400),
    ("2026-11-03 14:00", "2026-11-03 14:00:00", 60),
    ("2026-11-03T14:00:01", "2026-11-03 14:00:01", 1),
    ("2026-11-03_14-00-01", "2026-11-03 14:00:01", 1),  # as the mount names views
    ("3.11.2026", "2026-11-03 00:00:00", 86400),
    ("3 days ago", "2026-11-01 15:30:20", 1),
    ("an hour ago", "2026-11-04 14:30:20", 1),
    ("a week ago", "2026-10-28 15:30:20", 1),
    ("10 minutes ago", "2026-11-04 15:20:20", 1),
    ("1 month ago", "2026-10-04 15:30:20", 1),
    ("11 months ago", "2025-12-04 15:30:20", 1),
    ("2 years ago", "2024-11-04 15:30:20", 1),
)


def _ns(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp()) * _SECOND


@pytest.mark.parametrize("text, first, seconds", _TABLE)
def test_every_form(text, first, seconds):
    assert when.parse(text, _NOW) == (_ns(first), _ns(first) + seconds * _SECOND)


def test_a_time_with_a_zone():
    utc = datetime.datetime(2026, 11, 3, 14, 0, tzinfo=datetime.UTC).timestamp()
    assert when.parse("2026-11-03T14:00:00Z", _NOW)[0] == int(utc) * _SECOND
    assert when.parse("2026-11-03T15:00:00+01:00", _NOW)[0] == int(utc) * _SECOND


def test_months_end_on_a_day_that_exists():
    assert when.parse("1 month ago", datetime.datetime(2026, 3, 31, 12))[0] == _ns("2026-02-28 12:00:00")
    assert when.parse("1 year ago", datetime.datetime(2028, 2, 29, 12))[0] == _ns("2027-02-28 12:00:00")


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "2026-13-01", "2026-02-30", "32.1.2026", "ago", "99999 years ago", "11/03/2026"]
)
def test_nonsense_is_refused_with_examples(text):
    with pytest.raises(AgentError, match="yesterday 14:00"):
        when.parse(text, _NOW)


def _view(number: int, time_ns: int):
    return message.VIEW.tuple(number, 1, 0, time_ns, 0, 0, 0, bytes(64), 0, 0, 0)


def test_the_last_view_up_to_a_time():
    views = [
        _view(number, _ns(text) + 500)
        for number, text in enumerate(("2026-11-01 10:00:00", "2026-11-03 14:00:30", "2026-11-03 18:00:00"), 1)
    ]
    chosen = lambda wanted: choose.choose(views, wanted).view  # noqa: E731
    assert chosen(None) == chosen("latest") == chosen("3") == chosen(3) == 3
    assert chosen("2026-11-03 14:00") == 2  # made within that minute
    assert chosen("2026-11-03 13:59") == chosen("2026-11-02") == 1
    assert chosen("2026-11-03") == chosen("now") == 3
    assert [chosen(name) for name in choose.names(views).values()] == [1, 2, 3]
    for wanted, text in (("2026-10-31", "the first one is of 2026-11-01"), ("9", "view 9")):
        with pytest.raises(AgentError, match=text):
            chosen(wanted)
    with pytest.raises(AgentError, match="no view yet"):
        choose.choose([], None)


def test_views_of_one_second_have_names_of_their_own_that_stay():
    views = [_view(number, _ns("2026-11-03 14:00:30") + number) for number in (4, 5)]
    first = choose.names(views)
    assert first == {4: "2026-11-03_14-00-30", 5: "2026-11-03_14-00-30_view5"}
    assert choose.names(views[1:], first)[5] == first[5]
