"""The log: a ring in memory and whatever sinks want its lines. Every part of the firmware writes it; `show log` reads it."""

import io
import sys
import time
from collections import deque

LEVELS = ("debug", "info", "warning", "error")
_MARKS = {"debug": "D", "info": "I", "warning": "W", "error": "E"}
_RING_LINES = 500
_TEXT_CHARS = 4000  # of one entry: a traceback fits, a hostile name does not fill the log


def stamp(when_ns: int) -> str:
    """UTC as 2026-01-31 12:00:00."""
    return "%04d-%02d-%02d %02d:%02d:%02d" % tuple(time.gmtime(when_ns // 1000000000)[:6])


def printable(text: str) -> str:
    """`text` with what could steer a terminal replaced by ?."""
    if all([" " <= char != "\x7f" for char in text]):
        return text
    return "".join([char if " " <= char != "\x7f" else "?" for char in text])


if hasattr(sys, "print_exception"):

    def traceback_text(error) -> str:
        """The traceback as text, several lines."""
        out = io.StringIO()
        sys.print_exception(error, out)
        return out.getvalue().strip()

else:
    import traceback

    def traceback_text(error) -> str:
        """The traceback as text, several lines."""
        return "".join(traceback.format_exception(error)).strip()


class Log:
    """`clock` is a hal.clock.Clock. Sinks are called with (level, line) and must not block or raise."""

    def __init__(self, clock):
        self._clock = clock
        self._ring = deque((), _RING_LINES)
        self._sinks = []
        self._crash_sinks = []
        self.level = "info"

    def add_sink(self, sink) -> None:
        """`sink(level, line)` gets every line from now on."""
        self._sinks.append(sink)

    def remove_sink(self, sink) -> None:
        self._sinks.remove(sink)

    def add_crash_sink(self, sink) -> None:
        """`sink(text)` gets every traceback from now on."""
        self._crash_sinks.append(sink)

    def debug(self, source: str, text: str) -> None:
        self._add("debug", source, text)

    def info(self, source: str, text: str) -> None:
        self._add("info", source, text)

    def warning(self, source: str, text: str) -> None:
        self._add("warning", source, text)

    def error(self, source: str, text: str) -> None:
        self._add("error", source, text)

    def exception(self, source: str, error) -> None:
        """An exception that nobody expected, with its traceback; it goes to the crash log, too."""
        text = traceback_text(error)
        self._add("error", source, text)
        for sink in self._crash_sinks:
            sink("%s %s: %s" % (stamp(self._clock.now_ns()), source, text))

    def lines(self, count: int) -> list:
        """The newest `count` lines, oldest first."""
        kept = list(self._ring)
        return kept[max(0, len(kept) - count) :]

    def _add(self, level: str, source: str, text: str) -> None:
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        head = "%s %s %s: " % (stamp(self._clock.now_ns()), _MARKS[level], source)
        for part in text[:_TEXT_CHARS].split("\n"):
            line = head + printable(part)
            self._ring.append(line)
            for sink in self._sinks:
                sink(level, line)
