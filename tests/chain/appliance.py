"""The appliance of `build.py run`: QEMU over the flash image, its console as a person would use it, tape through istgt."""

import json
import re
import time

from tests.chain.report import StepFailed
from tests.lab.qemu import Qemu

PROMPT = r"bobbin> $"
_FACTORY_PASSWORD = "bobbin"
_AGENT_PORT = 7170


class Appliance:
    """`folder` keeps disk, flash and console log. `say` shows progress."""

    def __init__(self, folder, image, tape_url: str, port: int, say=print):
        self.box = Qemu(folder, image, disk_bytes=2 << 30, tape=tape_url, forwards={_AGENT_PORT: port})
        self.port = port
        self._say = say
        self._console = None

    def power_on(self, fresh: bool, timeout_s: float = 180) -> float:
        """Seconds from power on to `bobbin: ready`."""
        self.box.prepare(fresh=fresh)
        began = time.monotonic()
        self.box.start()
        self._console = self.box.consoles[0]
        self._console.expect(r"bobbin: ready", timeout_s=timeout_s)
        return time.monotonic() - began

    def log_in(self) -> None:
        self._console.line("")
        self._console.expect(r"login: ", timeout_s=20)
        self._console.line("admin")
        self._console.expect(r"[Pp]assword: ", timeout_s=20)
        self._console.line(_FACTORY_PASSWORD)
        self._console.expect(PROMPT, timeout_s=60)

    def format_disk(self) -> str:
        """Answers the console's question; gives what it said of the disk."""
        self._console.line("disk format")
        asked = self._console.expect(r"The data disk is (.*?)\.\r?\n(?s:.*?)Type ERASE[^:]*: ", timeout_s=60)
        self._console.line("ERASE")
        self._console.expect(PROMPT, timeout_s=120)
        return re.sub(r"\s+", " ", asked.group(1))

    def ask(self, command: str, timeout_s: float = 120) -> dict:
        """The JSON answer of a console command. Raises StepFailed with the error line."""
        text = self._console.command(command + " --json", PROMPT, timeout_s)
        for line in reversed(text.splitlines()):
            line = line.strip()
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise StepFailed("console `%s`: %s" % (command, answer["error"]))
                return answer
        raise StepFailed("console `%s`: expected JSON, got: %s" % (command, text.strip()[-200:]))

    def power_off(self) -> None:
        self._console.line("shutdown now")
        self.box.wait_off(timeout_s=90)

    def kill(self) -> None:
        self.box.kill()
