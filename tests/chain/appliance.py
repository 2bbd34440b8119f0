"""The appliance of `build.py run`: its console as a person would use it. In QEMU over the flash image, or as a process.

Both offer: port, power_on(fresh), log_in(), format_disk(), ask(command), power_off(), kill().
"""

import json
import re
import shutil
import time

from tests.chain.report import StepFailed
from tests.lab.appliance import HostAppliance
from tests.lab.qemu import Qemu

_PROMPT = "bobbin> "
_FACTORY_PASSWORD = "bobbin"
_AGENT_PORT = 7170
_DISK_BYTES = 2 << 30


class _Board:
    """What a person does at the console, whichever line it is on."""

    console = None
    port = 0

    def log_in(self) -> None:
        self.console.line("")
        self.console.expect("login: ", timeout_s=30)
        self.console.line("admin")
        self.console.expect("Password: ", timeout_s=30)
        self.console.line(_FACTORY_PASSWORD)
        self.console.expect(_PROMPT, timeout_s=60)

    def format_disk(self) -> str:
        """Answer the console's question; gives what it said of the disk."""
        self.console.line("disk format")
        asked = self.console.expect(r"The data disk is ((?s:.*?))\.\s+It (?s:.*?)Type ERASE[^:]*: ", timeout_s=60)
        self.console.line("ERASE")
        self.console.expect("ready for backups", timeout_s=120)
        self.console.expect(_PROMPT)
        return re.sub(r"\s+", " ", asked.group(1))

    def ask(self, command: str, timeout_s: float = 120) -> dict:
        """The JSON answer of a console command. Raises StepFailed with the error line."""
        text = self.console.command(command + " --json", _PROMPT, timeout_s)
        for line in reversed(text.splitlines()):
            at = line.find("{")
            if at >= 0:
                answer = json.loads(line[at:])
                if not answer.get("ok", True):
                    raise StepFailed("console `%s`: %s" % (command, answer.get("error", answer)))
                return answer
        raise StepFailed("console `%s`: expected JSON, got: %s" % (command, text.strip()[-200:]))


class QemuBoard(_Board):
    """`folder` keeps flash, disk and console log."""

    def __init__(self, folder, image, tape_url: str, port: int):
        self._box = Qemu(folder, image, disk_bytes=_DISK_BYTES, tape=tape_url, forwards={_AGENT_PORT: port})
        self.port = port

    def power_on(self, fresh: bool, timeout_s: float = 180) -> float:
        """Seconds from power on to `bobbin: ready`."""
        self._box.prepare(fresh=fresh)
        began = time.monotonic()
        self._box.start()
        self.console = self._box.consoles[0]
        self.console.expect("bobbin: ready", timeout_s=timeout_s)
        return time.monotonic() - began

    def power_off(self) -> None:
        self.console.line("shutdown now")
        self._box.wait_off(timeout_s=90)

    def kill(self) -> None:
        self._box.kill()


class HostBoard(_Board):
    """The same firmware under MicroPython as a process; `folder` keeps its disk and log."""

    def __init__(self, folder, tape_url: str):
        self._folder = folder
        self._box = HostAppliance(folder, disk_bytes=_DISK_BYTES, tapes=(tape_url,))

    def power_on(self, fresh: bool, timeout_s: float = 60) -> float:
        if fresh:
            shutil.rmtree(self._folder, ignore_errors=True)
        began = time.monotonic()
        self._box.start()
        self.console = self._box.console
        return time.monotonic() - began

    def log_in(self) -> None:
        super().log_in()
        self.port = self.ask("show status")["lan_port"]

    def power_off(self) -> None:
        self._box.stop()

    def kill(self) -> None:
        self._box.kill()
