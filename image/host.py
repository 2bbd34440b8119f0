"""The verb `host`: the appliance as a native process under the image's MicroPython; no QEMU, no root."""

import subprocess
from pathlib import Path

from board.host import OPTIONS
from image.boot import tape_drive
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
    folder = Path(arguments.state).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tape_drive(arguments.tape[0] if arguments.tape else "", folder / "tape", False) as url:
        words = []
        for name, _, _, _ in OPTIONS:
            values = arguments.tape or [url] if name == "--tape" else [getattr(arguments, name[2:])]
            for value in values:
                words += [name, str(value)] if value != "" else []
        print("agents: %s · telnet: port %s · leave with `shutdown`" % (arguments.listen, arguments.telnet))
        return _serve(words)


def _serve(words: list) -> int:
    """Until it is shut down; a reboot starts it again."""
    while True:
        status = subprocess.run(command(words), cwd=ROOT).returncode
        if status != _RESTART_STATUS:
            return status
