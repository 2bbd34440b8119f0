"""QMP client (QEMU Machine Protocol): one JSON object a line over a Unix socket. Used by `tests.lab.qemu`."""

import json
import socket
from pathlib import Path


class QmpError(Exception):
    """QEMU refused a command or went away."""


class Qmp:
    """`events`: those that came so far, as QEMU names them, noticed with the next command."""

    def __init__(self, path: Path, timeout_s: float = 10):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self.events: list = []
        self._next()
        self.command("qmp_capabilities")

    def _next(self) -> dict:
        line = self._lines.readline()
        if not line:
            raise QmpError("QEMU closed the QMP connection: it has ended, see its log")
        return json.loads(line)

    def command(self, name: str, **arguments):
        """What the command returns."""
        self._socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._next()
            if "error" in answer:
                raise QmpError("%s: %s" % (name, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]
            self.events.append(answer["event"])

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
