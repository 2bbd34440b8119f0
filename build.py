#!/usr/bin/env python3
"""The one entry: `python3 build.py VERB`. Sets up what the verb needs, then runs it.

A verb is a module with `NEEDS` (for `image.setup.ensure`), `add_arguments(parser)` and `run(arguments)`, which gives the
exit status. It is imported under the system's Python with nothing installed, so that --help works at once: what it takes
from build/venv it imports in `run`, which is called under build/venv's Python.
"""

import argparse
import importlib
import os
import sys

sys.dont_write_bytecode = True  # the tree stays as it was cloned
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from image import setup  # noqa: E402
from image.paths import VENV, BuildError  # noqa: E402

VERBS = {
    "run": ("tests.chain.verb", "the whole chain once: image, boot, backup, tape, damage, restore, compare"),
    "test": ("tests.verb", "run all tests"),
    "setup": ("image.setup", "install what the other verbs need, as far as it is missing"),
    "image": ("image.verb", "build the flash image and its bill of materials"),
    "boot": ("image.boot", "an appliance in QEMU, its serial console on this terminal"),
    "host": ("image.host", "the appliance as a native process of this machine"),
    "flash": ("image.flash", "write the flash image to a disk"),
    "bench": ("tests.bench.verb", "measure"),
    "check": ("tests.meta.verb", "formatter, linter, MicroPython subset, import rules, types"),
    "lock": ("image.lock", "resolve requirements.in into requirements.lock"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build.py", description="Build, run and test Bobbin.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (path, summary) in VERBS.items():
        module = importlib.import_module(path)
        one = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add_arguments(one)
        one.set_defaults(module=module)
    return parser


def _run(words: list) -> int:
    arguments = _parser().parse_args(words)
    needs = arguments.module.NEEDS
    setup.ensure(needs)
    if "venv" in needs and not setup.in_venv():
        python = str(VENV / "bin" / "python")
        os.execv(python, [python, "-B", os.path.abspath(__file__)] + words)
    return arguments.module.run(arguments) or 0


def main() -> int:
    try:
        return _run(sys.argv[1:])
    except BuildError as error:
        print("build.py: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
