"""Lines of the log that a peer can cause as often as it likes: of what is alike only the first few, and then how many there were.

Made by firmware/net/server.py; a key says who and what, for instance ("pc7", "refused").
"""

from hal.loop import now_ms


class Seldom:
    """Of each key `free` lines in `every_ms`, from the first on. At most `keys` are remembered: the oldest is forgotten first."""

    def __init__(self, log, source: str, free: int = 1, every_ms: int = 60000, keys: int = 256, clock=now_ms):
        self._log = log
        self._source = source
        self._free = free
        self._every_ms = every_ms
        self._keys = keys
        self._clock = clock
        self._seen = {}  # key -> [when it began, how many, last text left out]

    def info(self, key, text: str) -> None:
        self._note(self._log.info, key, text)

    def warning(self, key, text: str) -> None:
        self._note(self._log.warning, key, text)

    def _note(self, write, key, text: str) -> None:
        self._expire()
        row = self._seen.get(key)
        if row is None:
            if len(self._seen) >= self._keys:
                self._end(min(self._seen, key=lambda each: self._seen[each][0]))
            row = self._seen[key] = [self._clock(), 0, ""]
        row[1] += 1
        if row[1] <= self._free:
            write(self._source, text)
        else:
            row[2] = text

    def _expire(self) -> None:
        now = self._clock()
        for key in [key for key, row in self._seen.items() if now - row[0] >= self._every_ms]:
            self._end(key)

    def _end(self, key) -> None:
        """Forget a key; say what was left out."""
        _, count, text = self._seen.pop(key)
        if count > self._free:
            self._log.info(self._source, "%s (and %d more like it)" % (text, count - self._free - 1))
