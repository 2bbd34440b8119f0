"""What an administrator does at the console of an appliance, wherever it runs. Base of `HostAppliance` and `QemuAppliance`."""

import json
import re

PROMPT = "bobbin> "
PASSWORD = "bobbin"


class ConsoleRefused(Exception):
    """A console command ended with an error; the text is its line."""


class Administrator:
    """`console` is a tests.lab.console.Console while the appliance runs; `port` the agents' port on 127.0.0.1."""

    console = None
    port = 0

    def log_in(self, password: str = PASSWORD) -> None:
        self.console.line("")
        self.console.expect("login: ")
        self.console.line("admin")
        self.console.expect("Password: ")
        self.console.line(password)
        self.console.expect(PROMPT, timeout_s=60)

    def run(self, command: str, timeout_s: float = 60) -> str:
        """What the command printed."""
        return self.console.command(command, PROMPT, timeout_s)

    def json(self, command: str, timeout_s: float = 600) -> dict:
        """The command's answer to --json; `ok` tells whether it succeeded."""
        lines = self.run(command + " --json", timeout_s).splitlines()
        return json.loads(next(line for line in reversed(lines) if line.startswith("{")))

    def ask(self, command: str, timeout_s: float = 600) -> dict:
        """As `json`, for a command that must succeed. Raises ConsoleRefused."""
        answer = self.json(command, timeout_s)
        if not answer["ok"]:
            raise ConsoleRefused("console `%s`: %s" % (command, answer["text"]))
        return answer

    def format_disk(self) -> str:
        """Answers the question; gives what the console said of the disk."""
        self.console.line("disk format")
        asked = self.console.expect(r"The data disk is ((?s:.*?))\.\s+It (?s:.*?)format it: ", timeout_s=60)
        self.console.line("ERASE")
        self.console.expect("ready for backups", timeout_s=120)
        self.console.expect(PROMPT)
        return re.sub(r"\s+", " ", asked.group(1))
