"""The packages of a Debian system, from the files of dpkg and apt: asking `apt-mark` takes as long as a small backup. Called by collect.py."""

import re

STATUS = "/var/lib/dpkg/status"
_STATES = "/var/lib/apt/extended_states"
_FIELD = re.compile(rb"^(Package|Status|Architecture|Multi-Arch|Version|Auto-Installed): (.*)$", re.M)


def packages(path: str = STATUS) -> str:
    """As `dpkg-query --show --showformat '${binary:Package} ${Version} ${db:Status-Status}\\n'`. Raises OSError."""
    rows = _stanzas(path)
    native = _native(rows)
    return _lines([_called(row, native) + b" %s %s" % (row.get(b"Version", b""), _state(row)) for row in rows])


def wanted(path: str = STATUS, states: str = _STATES) -> str:
    """As `apt-mark showmanual`: what is installed and did not come along with something else. Raises OSError."""
    rows = _stanzas(path)
    native = _native(rows)
    came = {_key(row, native) for row in _stanzas(states) if row.get(b"Auto-Installed") == b"1"}
    names = [row for row in rows if _state(row) == b"installed" and _key(row, native) not in came]
    foreign = (native, b"all")
    return _lines(
        [row[b"Package"] + (b"" if row[b"Architecture"] in foreign else b":" + row[b"Architecture"]) for row in names]
    )


def _stanzas(path: str) -> list:
    with open(path, "rb") as file:
        rows = [dict(_FIELD.findall(text)) for text in file.read().split(b"\n\n")]
    return [row for row in rows if b"Package" in row and b"Architecture" in row]


def _native(rows: list) -> bytes:
    """The architecture that dpkg itself is of."""
    return next((row[b"Architecture"] for row in rows if row[b"Package"] == b"dpkg"), b"")


def _key(row: dict, native: bytes) -> tuple:
    architecture = row[b"Architecture"]
    return row[b"Package"], native if architecture == b"all" else architecture


def _state(row: dict) -> bytes:
    return row.get(b"Status", b"").rpartition(b" ")[2]


def _called(row: dict, native: bytes) -> bytes:
    """With its architecture where there may be several of a name."""
    several = row.get(b"Multi-Arch") == b"same" or row[b"Architecture"] not in (native, b"all")
    return row[b"Package"] + (b":" + row[b"Architecture"] if several else b"")


def _lines(rows: list) -> str:
    return b"".join([row + b"\n" for row in sorted(rows)]).decode("utf-8", "backslashreplace")
