"""Bobbin: the host board under MicroPython with the memory of the image, the agent's command as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

from firmware.version import VERSION
from image import tables
from image.paths import BUILD, ROOT
from tests.bench.subjects.subject import Subject
from tests.chain.pc import Pc
from tests.lab.appliance import HostAppliance

_PORT = 7170
_DISK_BYTES = 24 << 30


class Bobbin(Subject):
    # An installed agent has its modules compiled, whatever this shell thinks of that; here they are kept outside of the source tree.
    environment = {
        "PYTHONPYCACHEPREFIX": str(BUILD / "bench" / "pycache"),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPATH": str(ROOT),
    }

    def __init__(self, folder: Path):
        super().__init__(folder)
        self._script = folder / "bobbin"
        heap_bytes = int(tables.HEAP.rstrip("m")) << 20
        self._box = HostAppliance(folder / "appliance", disk_bytes=_DISK_BYTES, heap_bytes=heap_bytes)

    def start(self) -> None:
        self._install()
        self._box.start(_PORT)
        self._box.log_in()
        self._box.format_disk()
        for client in range(2):
            Pc("pc%d" % client, self._state(client)).pair(self._box)

    def _install(self) -> None:
        """What an installer does: the command, the agent's modules compiled, and those of the library that it loads."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._script.write_text("import sys\n\nfrom agent_pc.cli import run\n\nsys.exit(run())\n")
        environment = dict(os.environ, **self.environment)
        words = [sys.executable, "-m", "compileall", "-q", str(ROOT / "agent_pc"), str(ROOT / "firmware" / "formats")]
        for command in (words, [sys.executable, str(self._script), "--help"]):
            subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self._box.kill()

    def servers(self) -> list:
        return [self._box.process.pid]

    def store(self) -> Path:
        return self._box.folder

    def version(self) -> str:
        return VERSION

    def backup(self, source: Path, client: int) -> list:
        return self._command(client, "backup", str(source), "--write-free", "0")

    def restore(self, path: Path, target: Path) -> list:
        return self._command(0, "restore", str(path), "--to", str(target))

    def _state(self, client: int) -> Path:
        return self.folder / ("pc%d" % client)

    def _command(self, client: int, verb: str, *words: str) -> list:
        state = os.fspath(self._state(client))
        return [sys.executable, str(self._script), verb, "--state", state, "--json", *words]
