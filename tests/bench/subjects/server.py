"""What the peers' servers have in common: a certificate, and a daemon that is started, waited for and stopped."""

import os
import socket
import subprocess
import time
from pathlib import Path

from image.paths import SEARCH, BuildError, run

ADDRESS = "127.0.0.1"
NAME = "bench"
_START_S = 20


def certificate(folder: Path) -> tuple:
    """(certificate, key) files of ADDRESS, signed by itself."""
    made, key = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=" + NAME, "-addext", "subjectAltName=IP:" + ADDRESS]
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"] + names
        + ["-keyout", key, "-out", made])  # fmt: skip
    return made, key


class Daemon:
    """`command` stays in the foreground and listens on `port`; what it says goes to `log`."""

    def __init__(self, command: list, port: int, log: Path, **options):
        with open(log, "ab") as out:
            environment = dict(os.environ, PATH=SEARCH)
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, **options
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + _START_S
        while not _listens(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BuildError("%s does not listen on port %d, see %s" % (command[0], port, log))
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((ADDRESS, port), 1).close()
        return True
    except OSError:
        return False
