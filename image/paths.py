"""Where the build keeps its results, and how it calls programs. Used by every verb of build.py."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
ROOTFS = BUILD / "rootfs"
VENV = BUILD / "venv"

# sfdisk and mke2fs live in sbin, which is not on everybody's path in Debian.
SEARCH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


class BuildError(Exception):
    """Something the person at the keyboard can act on; build.py prints it as one line and exits with 1."""


def run(command: list, **options) -> str:
    """Output of a program that must succeed. Raises BuildError with its last words."""
    environment = dict(os.environ, PATH=SEARCH, LC_ALL="C", **options.pop("env", {}))
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=environment, text=True, capture_output=True, **options)
    except FileNotFoundError:
        raise BuildError("%s is not installed: run python3 build.py setup" % command[0])
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise BuildError("%s failed (exit %d): %s" % (command[0], done.returncode, last))
    return done.stdout


def commit_time() -> int:
    """Seconds since 1970 of the commit being built: the date of everything in the image."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    try:
        return int(run(["git", "-C", ROOT, "log", "-1", "--format=%ct"]))
    except (BuildError, ValueError):
        return 0
