"""Starts tests/lab/door_process.py under either interpreter and talks to it. For tests and figures."""

import json
import subprocess
import sys
from pathlib import Path

from tests.lab import micropython

_SCRIPT = "tests/lab/door_process.py"


def make_certificate(folder: Path) -> list:
    """[certificate, key]: paths of DER files, a new identity as the appliance's."""
    pem, key, key_der, certificate = (folder / name for name in ("c.pem", "k.pem", "key.der", "certificate.der"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    for command in (
        ["req", "-x509", *curve, "-nodes", "-keyout", key, "-out", pem, "-subj", "/CN=bobbin", "-days", "30"],
        ["x509", "-in", pem, "-outform", "der", "-out", certificate],
        ["pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "der", "-out", key_der],
    ):
        subprocess.run(["openssl", *command], check=True, stderr=subprocess.DEVNULL)
    return [str(certificate), str(key_der)]


class DoorProcess:
    """`address`, `code`, `pid`. Use it as a context manager."""

    def __init__(self, folder: Path, cpython: bool = False, files: tuple = ()):
        interpreter = [sys.executable] if cpython else micropython.command()
        self._process = subprocess.Popen(
            interpreter + [_SCRIPT, *make_certificate(folder), *map(str, files)],
            cwd=micropython.REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        started = json.loads(self._process.stdout.readline())
        self.address = ("127.0.0.1", started["port"])
        self.code = started["code"]

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.end()
        try:
            self._process.wait(15)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def end(self) -> None:
        """Ask it to shut down."""
        self._process.stdin.close()

    def status(self) -> dict:
        """{"sessions", "backups", "refused", "heap_bytes"}."""
        return self.ask("status")

    def ask(self, line: str) -> dict:
        """What a verb of door_process.py answers."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def resident_bytes(self) -> int:
        """Memory that the process has in use."""
        return resident_bytes(self.pid)


def resident_bytes(pid: int, row: str = "VmRSS") -> int:
    """A row of /proc/PID/status that is in kB: VmRSS, or VmHWM, the most that it ever was."""
    with open("/proc/%d/status" % pid) as file:
        (line,) = [line for line in file if line.startswith(row + ":")]
    return int(line.split()[1]) << 10
