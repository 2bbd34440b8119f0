"""The verb `bench`: the figures that README and docs give, each to be had again by anyone."""

import json
import subprocess
from pathlib import Path

NEEDS = ("packages", "venv", "rootfs")

_ROOT = Path(__file__).resolve().parents[2]
# Scripts that run under the image's MicroPython and print their own lines.
_SCRIPTS = {"native": ("tests/bench/native.py",), "tape": ("tests/bench/tape_image.py",)}


def add_arguments(parser) -> None:
    parser.add_argument(
        "what",
        choices=("appliance", "native", "tls", "tape"),
        help="appliance: boot, memory, backup, restore, tape beside tar | zstd; native: the C libraries through MicroPython; "
        "tls: receive rate; tape: encoder and reader over memory",
    )
    parser.add_argument("--board", choices=("host", "qemu"), default="host", help="for appliance (default host)")
    parser.add_argument("--report", default="", metavar="FILE", help="for appliance: write the rows as JSON, too")


def run(arguments) -> int:
    if arguments.what == "appliance":
        return _appliance(arguments.board, arguments.report)
    from tests.lab import micropython

    if arguments.what == "tls":
        from tests.bench import tls

        tls.main(512)
        return 0
    return subprocess.run(micropython.command(256 << 20) + list(_SCRIPTS[arguments.what]), cwd=_ROOT).returncode


def _appliance(board: str, report: str) -> int:
    from tests.bench import appliance

    rows = appliance.run(board)
    print("%-32s %10s  %-16s %s" % ("board " + board, "", "", "time / peer's"))
    for name, figure, unit, ratio in rows:
        print("%-32s %10.2f  %-16s %s" % (name, figure, unit, "" if ratio is None else "%.2f" % ratio))
    if report:
        keys = ("step", "figure", "unit", "ratio")
        Path(report).write_text(json.dumps({"board": board, "rows": [dict(zip(keys, row)) for row in rows]}, indent=2) + "\n")
    return 0
