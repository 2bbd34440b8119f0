"""The whole appliance as a native process (host board, MicroPython) with an administrator at its console. For tests/host and benches.

with HostAppliance(folder) as box:
    box.log_in()
    box.format_disk()
    code = box.json("client pair pc")["code"]
"""

import subprocess
import time
from pathlib import Path

from tests.lab import micropython
from tests.lab.administrator import PASSWORD, PROMPT, Administrator
from tests.lab.console import Console

__all__ = ("PASSWORD", "PROMPT", "HostAppliance")
DISK_BYTES = 1 << 30
_START_S = 30
_STOP_S = 20


class HostAppliance(Administrator):
    """`folder` keeps disk, config and log over restarts. `tapes` are iSCSI URLs, `prefix` the words of a
    command that executes what follows it. `console` is a tests.lab.console.Console, `process`
    the subprocess; `port` the agents' port on 127.0.0.1."""

    def __init__(self, folder, disk_bytes: int = DISK_BYTES, tapes=(), heap_bytes: int = 64 << 20, prefix=()):
        self.folder = Path(folder)
        self.log_path = self.folder / "stdout.log"
        self.console = None
        self.process = None
        self.port = 0
        words = ["--state", str(self.folder), "--size", str(disk_bytes), "--console", str(self.folder / "console")]
        for url in tapes:
            words += ["--tape", url]
        self._command = list(prefix) + micropython.command(heap_bytes) + ["firmware/main.py", "--board", "host"] + words

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *failure) -> None:
        self.kill()

    def start(self, port: int = 0) -> None:
        """Returns when the appliance says that it is ready. Raises AssertionError with its log if it does not. `port` for agents."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = self.log().count("bobbin: ready")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self._command + ["--listen", "127.0.0.1:%d" % port],
                cwd=micropython.REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_S
        while self.log().count("bobbin: ready") == seen:
            assert self.process.poll() is None and time.monotonic() < deadline, "not ready:\n" + self.log()[-4000:]
            time.sleep(0.02)
        self.console = Console(str(self.folder / "console"))

    def log(self) -> str:
        """What the appliance printed since the folder is in use."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_in(self, password: str = PASSWORD) -> None:
        """Also finds the agents' port."""
        super().log_in(password)
        self.port = self.ask("show status")["lan_port"]

    def stop(self) -> int:
        """Shut down from the console; gives the exit status."""
        self.console.line("shutdown now")
        status = self.process.wait(_STOP_S)
        self.console.close()
        self.console = None
        return status

    def kill(self) -> None:
        """As a power cut that loses nothing the kernel has: SIGKILL. Does nothing if it does not run."""
        if self.console:
            self.console.close()
            self.console = None
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
