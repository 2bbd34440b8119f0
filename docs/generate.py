"""Writes the pages of docs/ that are made from tables: `python3 docs/generate.py`. tests/meta/test_pages.py checks that they are so."""

import importlib
import json
import struct
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from agent_pc.service import policy  # noqa: E402
from firmware.core import settings  # noqa: E402
from firmware.formats import message, refusal  # noqa: E402
from firmware.formats.record import Record  # noqa: E402
from firmware.net import session  # noqa: E402
from firmware.net.channel import body_bound  # noqa: E402

_NOTE = "<!-- Made by docs/generate.py; do not edit. -->\n"

# module of firmware/formats, heading
_CHAPTERS = (
    ("frame", "Wire: the frame"),
    ("message", "Wire: messages"),
    ("refusal", "Wire: errors"),
    ("pairing", "Pairing"),
    ("limits", "Limits"),
    ("pack", "Packs"),
    ("fileobject", "File objects"),
    ("dtf", "Directory trees"),
    ("rfe", "Redundant file elimination"),
    ("disk", "Disk"),
    ("catalog", "Catalog"),
    ("tape", "Tape"),
    ("config", "Config area"),
)

_TYPES = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "q": "i64"}


def formats_page() -> str:
    """docs/formats.md"""
    parts = [
        "# Formats\n",
        _NOTE,
        "Everything that leaves a process: on the wire, on the disk, on tape, in the config area. Integers are little-endian; fields "
        "follow each other without padding. A variable field has its length or count in front of it.\n",
    ]
    for name, heading in _CHAPTERS:
        module = importlib.import_module("firmware.formats." + name)
        parts.append("## %s\n" % heading)
        parts.append(_preamble(module))
        parts += [chapter(module) for chapter in _EXTRA.get(name, ())]
        parts += [_record(record) for record in _records(module)]
    return "\n".join(parts)


def _preamble(module) -> str:
    first, _, rest = module.__doc__.strip().partition("\n")
    return first + "\n" + ("\n```text\n%s\n```\n" % rest.strip("\n") if rest.strip() else "")


def _records(module) -> list:
    """Records that this module declares, in its order."""
    declared = [value for value in vars(module).values() if isinstance(value, Record)]
    return declared + list(getattr(module, "RECORDS", {}).values())


def _record(record) -> str:
    number = message.TYPES.get(record.name[5:]) if record.name.startswith("wire.") else None
    title = "### %s\n" % record.name
    if number is not None and message.RECORDS[number] is record:
        title = "### %d %s (from the %s)\n" % (number, record.name[5:], message.SENDER[number])
    size = "%d bytes" % record.size
    if any(not isinstance(row[1], str) for row in record.rows):
        size = "%d bytes and the variable part" % record.size
    about = (record.about + " " if record.about else "") + "(%s)" % size
    if number is not None and number in message.BODY_IS_PACK:
        about = record.about
    return "\n".join([title, about + "\n", _rows(record)] if record.rows else [title, about + "\n"])


def _rows(record) -> str:
    lines = ["| offset | field | type |", "| --- | --- | --- |"]
    offset = 0
    for name, kind in record.rows:
        place = "" if offset is None else str(offset)
        if isinstance(kind, str):
            label = _TYPES.get(kind, "%s bytes" % kind[:-1])
            offset += struct.calcsize("<" + kind)
        else:
            label, offset = kind.label, None
        lines.append("| %s | %s | %s |" % (place, name, label))
    return "\n".join(lines) + "\n"


def _message_table(module) -> str:
    lines = ["| number | message | from | body at most |", "| --- | --- | --- | --- |"]
    for number, name in sorted(module.NAMES.items()):
        bound = body_bound(number)
        lines.append("| %d | %s | %s | %d bytes |" % (number, name, module.SENDER[number], bound))
    return "\n".join(lines) + "\n"


def _states(module) -> str:
    """The session's states as a diagram, from its table."""
    moves, stays = {}, {}
    for number, states, after, _ in session.TABLE:
        for state in states:
            if after is None or after == state:
                stays.setdefault(state, []).append(module.NAMES[number])
            else:
                moves.setdefault((state, after), []).append(module.NAMES[number])
    lines = [
        "The states of a connection, as the appliance keeps them. A message that is not shown ends it with ERROR(PROTOCOL).\n"
    ]
    lines += ["```mermaid", "stateDiagram-v2", "    [*] --> %s" % session.NEW]
    lines += ["    %s --> %s: %s" % (one, other, ", ".join(names)) for (one, other), names in moves.items()]
    lines += ["    %s --> %s: %s" % (state, state, ", ".join(names)) for state, names in stays.items()]
    closing = ", ".join(session.CLOSING)
    lines += [
        "```\n",
        "After an ERROR of %s, after one that answers a PACK, and before READY the appliance closes.\n" % closing,
    ]
    return "\n".join(lines)


def _refusals(module) -> str:
    lines = ["| code | name | exit status of the agent | meaning |", "| --- | --- | --- | --- |"]
    for code, name in sorted(refusal.NAMES.items()):
        lines.append("| %d | %s | %d | %s |" % (code, name, refusal.EXIT_STATUS[code], refusal.MEANINGS[code]))
    return "\n".join(lines) + "\n"


def _limits(module) -> str:
    lines = ["| limit | value |", "| --- | --- |"]
    lines += [
        "| %s | %d |" % (name, value) for name, value in vars(module).items() if name.isupper() and isinstance(value, int)
    ]
    lines += ["", "| file of at most bytes | chunk bytes |", "| --- | --- |"]
    lines += ["| %d | %d |" % row for row in module.CHUNK_TABLE]
    return "\n".join(lines) + "\n"


def _areas(module) -> str:
    lines = ["| area | offset | bytes of one slot | content |", "| --- | --- | --- | --- |"]
    lines += ["| %s | %d | %d | %s |" % (area.name, area.offset, area.slot_bytes, area.about) for area in module.AREAS.values()]
    return "\n".join(lines) + "\n"


_EXTRA = {"message": (_message_table, _states), "refusal": (_refusals,), "limits": (_limits,), "config": (_areas,)}


def settings_page() -> str:
    """docs/settings.md"""
    about = "Set on the console with `set NAME VALUE`; `show config` lists the values.\n"
    return "\n".join(["# Settings\n", _NOTE, about, settings.markdown()])


def _toml(value) -> str:
    return "" if value is None else json.dumps(list(value) if isinstance(value, tuple) else value)


def agent_page() -> str:
    """docs/agent.md"""
    about = (
        "Keys of `agent.toml` in the agent's state directory; `bobbin agent config` shows their values and where each comes from. A key\n"
        "with a dot lies in a table: `[fda]`, then `least_mib = 4`. Rules: docs/architecture.md, the dynamic scheduler.\n"
    )
    lines = ["| key | what may stand there | built in | rule | meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {key} | {kind.label} | `{_toml(value)}` | {rule} | {text} |" for key, kind, value, rule, text in policy.ROWS]
    return "\n".join(["# agent.toml\n", _NOTE, about, *lines]) + "\n"


# file of docs/, what makes it
PAGES = (("formats.md", formats_page), ("settings.md", settings_page), ("agent.md", agent_page))


def main() -> None:
    for file, make in PAGES:
        (REPOSITORY / "docs" / file).write_text(make())


if __name__ == "__main__":
    main()
