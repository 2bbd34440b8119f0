"""Finds the MicroPython of the image and runs scripts with it on this host, from the repository's root.

Environment BOBBIN_MICROPYTHON names another interpreter; by default it is the one that `build.py` extracted to
build/rootfs, started through its own loader because it needs a newer C library than the host may have.
"""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_ROOTFS = REPOSITORY / "build" / "rootfs"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def command(heap_bytes: int = 64 << 20) -> list:
    """Argument list that starts MicroPython; append the script and its arguments. Raises FileNotFoundError."""
    heap = ["-X", "heapsize=%d" % heap_bytes]
    given = os.environ.get("BOBBIN_MICROPYTHON")
    if given:
        return [given] + heap
    loader = _ROOTFS / "usr/lib64/ld-linux-x86-64.so.2"
    if not loader.exists():
        raise FileNotFoundError("%s: run `python3 build.py image`, or set BOBBIN_MICROPYTHON" % loader)
    return [str(loader), "--library-path", str(_ROOTFS / _LIBRARIES), str(_ROOTFS / "usr/bin/micropython")] + heap


def run(arguments: list, timeout_s: int = 300) -> subprocess.CompletedProcess:
    """Run a script to its end; output is text, standard error is in stdout."""
    return subprocess.run(
        command() + arguments,
        cwd=REPOSITORY,
        timeout=timeout_s,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run_tests(*paths: str, timeout_s: int = 300) -> None:
    """Run test files with tests/micro.py; raises AssertionError with its output after a failure."""
    done = run(["tests/micro.py", *paths], timeout_s)
    assert done.returncode == 0, done.stdout
    print(done.stdout.splitlines()[-1])
