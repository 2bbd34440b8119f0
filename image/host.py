"""The verb `host`: the appliance as a native process under the image's MicroPython; no QEMU, no root."""

import subprocess

from board.host import OPTIONS
from image.paths import BUILD, ROOT

NEEDS = ("packages", "venv", "rootfs")

_RESTART_STATUS = 75
_DEFAULTS = {"--state": str(BUILD / "host"), "--size": str(8 << 30), "--listen": "127.0.0.1:7170", "--telnet": "7123"}


def add_arguments(parser) -> None:
    for name, default, _, text in OPTIONS:
        default = _DEFAULTS.get(name, str(default))
        if name == "--tape":
            parser.add_argument(name, action="append", default=[], help=text)
        else:
            parser.add_argument(name, default=default, help="%s (now: %s)" % (text, default or "none"))


def command(words: list, heap_bytes: int = 64 << 20) -> list:
    """Argument list that starts the firmware with the host board's arguments `words`; run it from the project's folder."""
    from tests.lab import micropython

    return micropython.command(heap_bytes) + ["firmware/main.py", "--board", "host"] + words


def run(arguments) -> int:
    words = []
    for name, _, _, _ in OPTIONS:
        value = getattr(arguments, name[2:])
        for one in value if name == "--tape" else [value]:
            words += [name, str(one)] if one != "" else []
    while True:
        status = subprocess.run(command(words), cwd=ROOT).returncode
        if status != _RESTART_STATUS:
            return status
