"""The verb `check`: everything that can be said about the sources without running the appliance."""

import subprocess
import sys
from pathlib import Path

NEEDS = ("packages", "venv")

_ROOT = Path(__file__).resolve().parents[2]
_STEPS = (
    ("formatter", ("ruff", "format", "--check", "--quiet", ".")),
    ("linter", ("ruff", "check", "--quiet", ".")),
    ("types of the agent", ("mypy", "agent_pc")),
    ("import rules, MicroPython subset, ids, pages", ("pytest", "-q", "-p", "no:cacheprovider", "tests/meta")),
)


def add_arguments(parser) -> None:
    parser.add_argument("--fix", action="store_true", help="format and mend what can be mended")


def run(arguments) -> int:
    if arguments.fix:
        for words in (("ruff", "format", "--quiet", "."), ("ruff", "check", "--fix", "--quiet", ".")):
            subprocess.run([sys.executable, "-B", "-m"] + list(words), cwd=_ROOT)
    failed = [name for name, words in _STEPS if not _passes(name, words)]
    return 1 if failed else 0


def _passes(name: str, words) -> bool:
    code = subprocess.run([sys.executable, "-B", "-m"] + list(words), cwd=_ROOT).returncode
    print("%-50s %s" % (name, "FAILED" if code else "ok"))
    return code == 0
