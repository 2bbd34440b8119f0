"""Units that keep the guarded mounts of agent.toml ([guard] mounts) up. Called by agent_pc/service/install.py; Linux with systemd only."""

import os
import sys

_UNIT = """\
[Unit]
Description=Bobbin guarded mount of {name}
RequiresMountsFor={name}
Before=bobbin-agent.service

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5
KillSignal=SIGTERM
TimeoutStopSec=300

[Install]
WantedBy={target}
"""


def escaped(path: str) -> str:
    """A path as part of a unit's name (systemd.unit, "String escaping for inclusion in unit names"; systemd-escape --path)."""
    text = path.strip("/") or "-"
    if text == "-":
        return text
    out = []
    for at, byte in enumerate(os.fsencode(text)):
        char = chr(byte)
        plain = byte < 128 and (char.isalnum() or char in ":_" or (char == "." and at > 0))
        out.append("-" if char == "/" else char if plain else f"\\x{byte:02x}")
    return "".join(out)


def units(state: str, mounts: list, quoted, user: bool) -> list:
    """[(file name, text)]: a unit for each directory, which is mounted over itself. `quoted(word)` as ExecStart wants it."""
    found = []
    for path in mounts:
        path = os.path.abspath(os.path.expanduser(path))
        words = [sys.executable, "-m", "agent_pc.cli", "guard", path, path, "--state", os.path.abspath(state)]
        text = _UNIT.format(
            name=quoted(path), command=" ".join(map(quoted, words)), target="default.target" if user else "multi-user.target"
        )
        found.append((f"bobbin-guard-{escaped(path)}.service", text))
    return found
