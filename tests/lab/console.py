"""A person at a serial line, as code: send a line, wait for a text. Over pyserial, so a pty, a port or socket:// will do.

Used by the QEMU tests and by `build.py run`.
"""

import re
import time

import serial


class ConsoleTimeout(AssertionError):
    """The text did not come. The message ends with what came instead."""


class ConsoleClosed(AssertionError):
    """The other end of the line is gone: the appliance, or QEMU, has ended."""


class Console:
    """`seen` is everything received so far, as text; `expect` searches from where the last one ended."""

    def __init__(self, url: str, baud: int = 115200, echo=None):
        self._port = serial.serial_for_url(url, baudrate=baud, timeout=0.05)
        self.echo = echo
        self._mark = 0
        self.seen = ""

    def send(self, text: str) -> None:
        self._port.write(text.encode())
        self._port.flush()

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(text + "\r")

    def pump(self) -> bool:
        """Take in what has arrived; True if there was any. Raises ConsoleClosed."""
        try:
            data = self._port.read(max(1, self._port.in_waiting))
        except (serial.SerialException, OSError):
            raise ConsoleClosed("the line hung up; the last lines were:\n" + self.seen[-2000:])
        text = data.decode("utf-8", "replace")
        self.seen += text
        if text and self.echo:
            self.echo(text)
        return bool(text)

    def expect(self, *patterns: str, timeout_s: float = 30):
        """The match of the first pattern (regular expression) found after the last match. Raises ConsoleTimeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            for pattern in patterns:
                match = re.compile(pattern).search(self.seen, self._mark)
                if match:
                    self._mark = match.end()
                    return match
            if time.monotonic() > deadline:
                raise ConsoleTimeout(
                    "%s did not come within %g s; the last lines were:\n%s"
                    % (" or ".join(patterns), timeout_s, self.seen[self._mark :][-2000:])
                )
            self.pump()

    def command(self, text: str, prompt: str, timeout_s: float = 30) -> str:
        """Type a line, give what came before the next prompt, without the echo of the line."""
        start = self._mark = len(self.seen)
        self.line(text)
        match = self.expect(prompt, timeout_s=timeout_s)
        return self.seen[start : match.start()].replace("\r", "").partition("\n")[2]

    def close(self) -> None:
        self._port.close()
