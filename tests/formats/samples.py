"""Golden files: the bytes of every Record of firmware/formats and of whole structures, as they were when they were decided.

`golden/NAME.json` holds a Record's rows and samples (values and bytes), `golden/NAME.bin` a whole structure of structures.py,
`golden/ids.json` every message and refusal number. test_golden.py reads them under both interpreters; it never writes. To record:

    python3 -m tests.formats.samples --record            what has no golden file yet
    python3 -m tests.formats.samples --replace NAME...    these anew: the bytes on disks, tapes and wires change!
"""

import binascii
import json
import os
import sys

from firmware.formats import message, refusal
from firmware.formats.record import Bytes, Flat, Record, Rows, Text

FOLDER = "tests/formats/golden"
_FORMATS = "firmware/formats"
IDS = "ids"
SAMPLES = ("distinct", "extreme")
_TEXTS = {"distinct": "Gr\u00fc\u00dfe", "extreme": ""}


def records() -> dict:
    """{name: Record} of all that the modules of firmware/formats declare."""
    found = {}
    for file in sorted(os.listdir(_FORMATS)):
        if file.endswith(".py") and file not in ("__init__.py", "record.py"):
            module = __import__("firmware.formats." + file[:-3], None, None, (file[:-3],))
            for name in dir(module):
                _collect(getattr(module, name), found)
    return found


def _collect(value, found: dict) -> None:
    if isinstance(value, Record):
        assert found.get(value.name, value) is value, "two records are named " + value.name
        found[value.name] = value
        for row in value.rows:
            if isinstance(row[1], Rows):
                _collect(row[1].layout, found)
    elif isinstance(value, dict):
        for part in value.values():
            _collect(part, found)


def rows(record) -> list:
    """[[field, type], ...] as the golden file has them."""
    return [[row[0], row[1] if isinstance(row[1], str) else row[1].label] for row in record.rows]


def sample(record, style: str) -> list:
    """Values for every row: `distinct` bytes everywhere, or the `extreme` ones."""
    state = [sum(record.name.encode()) & 0x7F]
    return [_value(row[1], style, state) for row in record.rows]


def _next_bytes(state: list, count: int) -> bytes:
    state[0] += count
    return bytes([(state[0] + 7 * i) & 0xFF for i in range(count)])


def _value(kind, style: str, state: list):
    if isinstance(kind, Flat):
        return _next_bytes(state, 3 * kind.layout.size) if style == "distinct" else b""
    if isinstance(kind, Rows):
        return [[_value(row[1], style, state) for row in kind.layout.rows] for _ in range(3 if style == "distinct" else 0)]
    if isinstance(kind, Text):
        return _TEXTS[style]
    if isinstance(kind, Bytes):
        return _next_bytes(state, 5) if style == "distinct" else b""
    return _scalar(kind, style, state)


_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "q": 8}


def _scalar(code: str, style: str, state: list):
    size = _SIZES.get(code)
    if size is None:
        return _next_bytes(state, int(code[:-1])) if style == "distinct" else b"\xff" * int(code[:-1])
    if style == "distinct":
        number = int.from_bytes(_next_bytes(state, size), "little")
        return number if code != "q" else number >> 1
    return -(1 << 63) if code == "q" else (1 << 8 * size) - 1


def plain(value):
    """`value` as JSON has it: bytes as {"hex": ...}, tuples as lists."""
    if isinstance(value, (bytes, bytearray)):
        return {"hex": binascii.hexlify(value).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def packed(record, values: list) -> bytes:
    """Bytes of these sample values."""
    return record.pack(*[[tuple(row) for row in value] if isinstance(value, list) else value for value in values])


def record_case(record) -> dict:
    """What the golden file of a Record holds."""
    samples = {}
    for style in SAMPLES:
        values = sample(record, style)
        samples[style] = {"values": plain(values), "bytes": binascii.hexlify(packed(record, values)).decode()}
    return {"rows": rows(record), "size": record.size, "samples": samples}


def ids_case() -> dict:
    """Every number of the wire and what it stands for."""
    messages = {str(number): name for number, name in message.NAMES.items()}
    refusals = {str(number): "%s, exit %d" % (name, refusal.EXIT_STATUS[number]) for number, name in refusal.NAMES.items()}
    return {"messages": messages, "refusals": refusals}


def load(name: str):
    """The golden JSON of that name. Raises AssertionError if it is missing."""
    with _open(name + ".json", "r") as file:
        return json.load(file)


def load_bytes(name: str) -> bytes:
    """The golden structure of that name. Raises AssertionError if it is missing."""
    with _open(name + ".bin", "rb") as file:
        return file.read()


def _open(file: str, mode: str):
    try:
        return open(FOLDER + "/" + file, mode)
    except OSError:
        raise AssertionError("%s/%s is missing: record it (tests/formats/samples.py) and commit it" % (FOLDER, file))


def _write(file: str, content: bytes) -> None:
    print("recording " + file)
    with open(FOLDER + "/" + file, "wb") as out:
        out.write(content)


def _main(arguments: list) -> None:
    from tests.formats.structures import STRUCTURES

    if not arguments or arguments[0] not in ("--record", "--replace"):
        sys.exit(__doc__)
    cases = {name: record_case(record) for name, record in records().items()}
    cases[IDS] = ids_case()
    contents = {name + ".json": (json.dumps(case, indent=1) + "\n").encode() for name, case in cases.items()}
    contents.update({name + ".bin": build() for name, build, _ in STRUCTURES})
    held = os.listdir(FOLDER)
    for file in sorted(contents):
        wanted = arguments[0] == "--record" and file not in held or file.rsplit(".", 1)[0] in arguments[1:]
        if wanted:
            _write(file, contents[file])


if __name__ == "__main__":
    _main(sys.argv[1:])
