"""Numbers of messages and refusals: unique, complete, and every message has its place in the conversation."""

import re
from pathlib import Path

from firmware.formats import message, refusal
from firmware.net import session

_REPOSITORY = Path(__file__).resolve().parents[2]


def _unique(values) -> bool:
    values = list(values)
    return len(values) == len(set(values))


def test_message_numbers_and_names_are_unique():
    assert _unique(row[0] for row in message._TABLE)
    assert _unique(row[1] for row in message._TABLE)
    assert all(0 < row[0] < 256 and row[2] in ("agent", "appliance") for row in message._TABLE)


def test_refusal_codes_and_names_are_unique():
    assert _unique(row[0] for row in refusal._TABLE)
    assert _unique(row[1] for row in refusal._TABLE)
    assert all(1 < row[2] < 126 and row[3] for row in refusal._TABLE)


def test_every_message_has_its_constant():
    for number, name in message.NAMES.items():
        assert getattr(message, name) == number


def test_every_message_of_the_agent_is_handled_once():
    handled = [row[0] for row in session.TABLE]
    assert _unique(handled)
    assert set(handled) == {number for number, sender in message.SENDER.items() if sender == "agent"}


def test_every_message_is_in_the_conversation():
    for name in message.NAMES.values():
        assert re.search(r"\b%s\b" % name, message.__doc__), "%s is in no conversation of message.py" % name


def test_every_state_is_reached_and_left():
    states = {state for row in session.TABLE for state in row[1]}
    assert states == {row[2] for row in session.TABLE if row[2]} | {session.NEW}


def test_every_message_of_the_appliance_is_sent_somewhere():
    sources = "".join(path.read_text() for path in (_REPOSITORY / "firmware/net").glob("*.py"))
    for number, sender in message.SENDER.items():
        if sender == "appliance":
            assert "message.%s" % message.NAMES[number] in sources, message.NAMES[number]


def test_every_refusal_that_is_raised_is_in_the_table():
    raised = set()
    for folder in ("firmware", "agent_pc"):
        for path in (_REPOSITORY / folder).rglob("*.py"):
            raised |= set(re.findall(r'Refusal\(\s*"(\w+)"', path.read_text()))
    assert raised and raised <= set(refusal.CODES), raised - set(refusal.CODES)
    assert set(session.CLOSING) <= set(refusal.CODES)
