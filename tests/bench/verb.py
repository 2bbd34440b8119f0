"""The verb `bench`: the figures that README and docs give, each to be had again by anyone."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from image.paths import BuildError

NEEDS = ("packages", "venv", "rootfs")

_ROOT = Path(__file__).resolve().parents[2]
# Scripts that run under the image's MicroPython and print their own lines.
_SCRIPTS = {"native": ("tests/bench/native.py",), "tape": ("tests/bench/tape_image.py",)}


def add_arguments(parser) -> None:
    parser.add_argument(
        "what",
        choices=("backup", "scale", "scan", "merge", "appliance", "native", "tls", "tape"),
        help="backup: Bobbin beside its peers, step by step; scale: 10 million entries, 1,000 agents, a view of a million files; "
        "merge: what a merge of two views reads and writes, by files and changes; "
        "scan: a tree of a million files in which nothing changed; "
        "appliance: boot, memory, backup, restore, tape beside tar | zstd; "
        "native: the C libraries through MicroPython; tls: receive rate; tape: encoder and reader over memory",
    )
    parser.add_argument("--board", choices=("host", "qemu"), default="host", help="for appliance (default host)")
    parser.add_argument(
        "--report", default="", metavar="FILE", help="for backup, scale and appliance: write the rows as JSON, too"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="N",
        help="for backup: size of the corpus (1: 3 GiB); for scale: of all numbers",
    )
    parser.add_argument(
        "--runs", type=int, default=3, metavar="N", help="for backup: rounds that the medians are of (default 3)"
    )
    parser.add_argument("--subjects", default="", metavar="A,B", help="for backup: only these (default: all)")
    parser.add_argument("--steps", default="", metavar="A,B", help="for backup and scale: only these (default: all)")
    parser.add_argument("--folder", default="/dev/shm", metavar="DIR", help="for scan: where the tree is made")
    parser.add_argument("--quick", action="store_true", help="for scale and scan: small numbers, a minute or two")


def run(arguments) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are stopped on the way out
    if arguments.what == "appliance":
        return _appliance(arguments.board, arguments.report)
    if arguments.what == "backup":
        return _backup(arguments)
    if arguments.what == "scale":
        return _scale(arguments)
    if arguments.what == "merge":
        from tests.bench import merge

        merge.main()
        return 0
    if arguments.what == "scan":
        return _scan(arguments)
    from tests.lab import micropython

    if arguments.what == "tls":
        from tests.bench import tls

        tls.main(512)
        return 0
    return subprocess.run(micropython.command(256 << 20) + list(_SCRIPTS[arguments.what]), cwd=_ROOT).returncode


def _scan(arguments) -> int:
    from tests.bench import scan

    files = scan.FILES // 100 if arguments.quick else scan.FILES
    rows = scan.run(arguments.folder, files, arguments.runs)
    for name, figure, unit in rows:
        print("%-32s %10.2f  %s" % (name, figure, unit))
    if arguments.report:
        found = [dict(zip(("step", "figure", "unit"), row)) for row in rows]
        Path(arguments.report).write_text(json.dumps({"files": files, "rows": found}, indent=2) + "\n")
    return 0


def _backup(arguments) -> int:
    from image import setup
    from tests.bench import backup

    setup.ensure(("peers",))
    subjects = _chosen("subjects", arguments.subjects, list(backup.SUBJECTS))
    steps = _chosen("steps", arguments.steps, [row[0] for row in backup.STEPS])
    return backup.run(arguments.scale, arguments.runs, subjects, steps, arguments.report)


def _scale(arguments) -> int:
    from image import setup
    from tests.bench.scale import run as scale

    setup.ensure(("peers",))
    sizes = scale.QUICK if arguments.quick else scale.scaled(arguments.scale)
    return scale.run(sizes, _chosen("steps", arguments.steps, list(scale.PARTS)), arguments.report)


def _chosen(what: str, given: str, known: list) -> list:
    """Names of a list with commas, all if it is empty. Raises BuildError."""
    names = given.split(",") if given else known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BuildError("--%s %s: expected some of %s" % (what, given, ",".join(known)))
    return names


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
