"""The verb `boot`: an interactive appliance in QEMU. Disk, tape and flash live in build/boot and stay between boots."""

import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from pathlib import Path

from image import image
from image.paths import BUILD, BuildError

NEEDS = ("packages", "venv", "rootfs")

FOLDER = BUILD / "boot"
_ESCAPE = b"\x1d"  # Ctrl-]
_PORTS = {"agent": 7170, "telnet": 23}


def add_arguments(parser) -> None:
    parser.add_argument("--fresh", action="store_true", help="begin with an empty disk, config and tape")
    parser.add_argument("--disk", type=int, default=8, metavar="GIB", help="size of a new data disk (default 8)")
    parser.add_argument("--memory", type=int, default=256, metavar="MIB", help="memory of the board (default 256)")
    parser.add_argument(
        "--tape", default="", metavar="URL", help="iscsi://HOST:PORT/IQN/LUN of a drive (default: an istgt of its own)"
    )
    parser.add_argument("--port", type=int, default=7170, help="loopback port that leads to the agent port (default 7170)")
    parser.add_argument("--telnet-port", type=int, default=7123, help="loopback port that leads to telnet (default 7123)")
    parser.add_argument("--usb", action="store_true", help="the flash disk is a USB stick")


def run(arguments) -> int:
    built = image.build()
    with tape_drive(arguments.tape, FOLDER / "tape", arguments.fresh) as url:
        return _boot(arguments, Path(built["path"]), url)


@contextlib.contextmanager
def tape_drive(given: str, folder: Path, fresh: bool):
    """The URL `given`, or that of an istgt whose cartridge stays in `folder`; stopped at the end. Also for the verb `host`."""
    from tests.lab.istgt import Istgt

    if given:
        yield given
        return
    if fresh and folder.exists():
        shutil.rmtree(folder)
    target = Istgt(folder)
    # One that was left behind when this verb was killed.
    target.stop()
    try:
        yield target.start()
    except (OSError, RuntimeError) as error:
        raise BuildError("the tape target does not start: %s" % error)
    finally:
        target.stop()


def _boot(arguments, path: Path, tape: str) -> int:
    from tests.lab.qemu import Qemu

    forwards = {_PORTS["agent"]: arguments.port, _PORTS["telnet"]: arguments.telnet_port}
    box = Qemu(
        FOLDER,
        path,
        disk_bytes=arguments.disk << 30,
        tape=tape,
        forwards=forwards,
        memory_mib=arguments.memory,
        flash="usb" if arguments.usb else "sata",
    )
    box.prepare(fresh=arguments.fresh)
    with box:
        try:
            box.start()
        except RuntimeError as error:
            raise BuildError(str(error))
        print(
            "agents: 127.0.0.1:%d · telnet: 127.0.0.1:%d · log: build/boot/serial0.log · leave with Ctrl-]"
            % (arguments.port, arguments.telnet_port)
        )
        _talk(box)
    return 0


def _talk(box) -> None:
    """Join this terminal and the first serial line until Ctrl-], end of input or power-off."""
    from tests.lab.console import ConsoleClosed

    source, console = sys.stdin.fileno(), box.consoles[0]
    console.echo = lambda text: (sys.stdout.write(text), sys.stdout.flush())
    saved = termios.tcgetattr(source) if os.isatty(source) else None
    try:
        if saved:
            tty.setraw(source)
        while box.process.poll() is None:
            try:
                for line in box.consoles:
                    line.pump()
            except ConsoleClosed:
                return
            typed = _typed(source)
            if typed is None or _ESCAPE in typed:
                return
            console.send(typed.decode("utf-8", "replace"))
    finally:
        if saved:
            termios.tcsetattr(source, termios.TCSADRAIN, saved)


def _typed(source: int):
    """What was typed just now (b"" if nothing), None at the end of input."""
    if not select.select([source], [], [], 0)[0]:
        return b""
    return os.read(source, 1024) or None
