"""The verb `test`: all tests by pytest, over what set-up made."""

import os
import subprocess
import sys
from pathlib import Path

NEEDS = ("packages", "venv", "rootfs")

_ROOT = Path(__file__).resolve().parents[1]


def add_arguments(parser) -> None:
    parser.add_argument("--mhvtl", default="", metavar="TREE", help="built mhvtl tree: tests against its LTO drive run too")
    parser.add_argument(
        "pytest", nargs="*", metavar="ARGUMENT", help="passed to pytest, after -- if it begins with a dash (default: tests)"
    )


def run(arguments) -> int:
    from image import image

    image.build()
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    if arguments.mhvtl:
        environment["BOBBIN_MHVTL"] = os.path.abspath(arguments.mhvtl)
    command = [sys.executable, "-B", "-m", "pytest", "-ra", "-p", "no:cacheprovider"] + (arguments.pytest or ["tests"])
    return subprocess.run(command, cwd=_ROOT, env=environment).returncode
