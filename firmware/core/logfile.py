"""Log sinks that keep lines beyond a restart: a rotating file on the data disk, the crash area on the config disk."""

import os

from hal.errors import HalError
from hal.loop import now_ms, sleep_ms

_FILE_BYTES = 1 << 20
_WAITING_LINES = 1000
_FLUSH_MS = 500

_CRASH_CHARS = 16 << 10
_CRASH_EVERY_MS = 60000  # the flash wears: a task that fails every second must not write every second


class LogFile:
    """`directory`/bobbin.log and, before it, bobbin.log.1, each at most 1 MiB. Written to the page cache, not synchronised."""

    def __init__(self, directory: str):
        self._path = directory + "/bobbin.log"
        self._waiting = []
        self.dropped = 0

    def sink(self, level: str, line: str) -> None:
        if len(self._waiting) < _WAITING_LINES:
            self._waiting.append(line)
        else:
            self.dropped += 1

    async def run(self) -> None:
        """Write what waits, for ever."""
        while True:
            self.flush()
            await sleep_ms(_FLUSH_MS)

    def flush(self) -> None:
        """Write what waits now. A full or failed filesystem loses lines, never more."""
        if not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        if self.dropped:
            lines.append("(%d lines were lost: too many at once)" % self.dropped)
            self.dropped = 0
        try:
            self._rotate()
            with open(self._path, "a") as file:
                file.write("\n".join(lines) + "\n")
        except OSError:
            self.dropped += len(lines)

    def _rotate(self) -> None:
        try:
            if os.stat(self._path)[6] < _FILE_BYTES:
                return
        except OSError:
            return
        os.rename(self._path, self._path + ".1")


class CrashLog:
    """The newest tracebacks and kernel panics, on `slots` (firmware.core.slots.Slots) or, without any, in memory."""

    def __init__(self, slots):
        self._slots = slots
        self._unsaved = False
        self.text = ""

    async def load(self) -> None:
        """Raises HalError."""
        content = await self._slots.load() if self._slots else None
        if content:
            self.text = content.decode()

    def sink(self, text: str) -> None:
        """Add an entry; `run` or `save` writes it."""
        kept = (self.text + "\n" + text if self.text else text)[-_CRASH_CHARS:]
        self.text = "".join([char if char < "\x7f" else "?" for char in kept])
        self._unsaved = True

    async def save(self) -> None:
        """Durable on return. Raises HalError."""
        if self._unsaved and self._slots:
            self._unsaved = False
            await self._slots.save(self.text.encode())

    async def clear(self) -> None:
        """Forget all entries. Raises HalError."""
        self.text, self._unsaved = "", True
        await self.save()

    async def run(self) -> None:
        """Save soon after an entry came, at most once a minute, for ever."""
        last = now_ms() - _CRASH_EVERY_MS
        while True:
            if self._unsaved and now_ms() - last >= _CRASH_EVERY_MS:
                last = now_ms()
                try:
                    await self.save()
                except HalError:
                    pass  # it stays in memory and on the serial line; the config device is what failed
            await sleep_ms(_FLUSH_MS)
