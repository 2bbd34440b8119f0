"""The verb `lock`: make requirements.lock from requirements.in, with the hashes of the files that pip chooses here."""

import json
import subprocess
import sys

from image.paths import ROOT, BuildError

NEEDS = ("venv",)

_HEADER = """\
# Python packages of build/venv, each with the hash of the one file that pip takes on Linux x86-64 with CPython 3.11.
# Made by `python3 build.py lock` from requirements.in: edit that file, not this one.
"""


def add_arguments(parser) -> None:
    pass


def run(arguments) -> int:
    report = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
            "-r",
            str(ROOT / "requirements.in"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    if report.returncode:
        raise BuildError("pip cannot resolve requirements.in: see its message above")
    lines = []
    for item in json.loads(report.stdout)["install"]:
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append("%s==%s --hash=sha256:%s\n" % (item["metadata"]["name"].lower(), item["metadata"]["version"], digest))
    (ROOT / "requirements.lock").write_text(_HEADER + "".join(sorted(lines)))
    print("requirements.lock: %d packages" % len(lines))
    return 0
