"""Slows an address down that fails again and again to authenticate or to pair; never locks it out for good. Used by sessions."""

from firmware.formats.refusal import Refusal
from hal.loop import now_ms

FREE = 3  # failures that cost nothing
FIRST_MS = 1000  # the pause after the next one; it doubles from there
LONGEST_MS = 30000
FORGET_MS = 600000  # quiet after which all is forgotten
ADDRESSES = 256  # remembered at most; the one quiet for longest is forgotten first


class _Record:
    def __init__(self):
        self.failures = 0
        self.last_ms = 0
        self.until_ms = 0


class Slowdown:
    def __init__(self):
        self._records = {}

    def check(self, address: str) -> None:
        """Raises Refusal BUSY while the address has to wait: its attempt is then not looked at."""
        record = self._records.get(address)
        if record is None:
            return
        wait_ms = record.until_ms - now_ms()
        if wait_ms > 0:
            retry_s = (wait_ms + 999) // 1000
            raise Refusal("BUSY", "too many failed attempts from here: wait %d s" % retry_s, retry_s)

    def failed(self, address: str) -> None:
        """Count a failed attempt."""
        now = now_ms()
        record = self._records.get(address)
        if record is None or now - record.last_ms > FORGET_MS:
            record = self._remember(address)
        record.failures += 1
        record.last_ms = now
        if record.failures > FREE:
            record.until_ms = now + min(LONGEST_MS, FIRST_MS << min(record.failures - FREE - 1, 16))

    def succeeded(self, address: str) -> None:
        """Forget the failures of the address."""
        self._records.pop(address, None)

    def _remember(self, address: str) -> _Record:
        if address not in self._records and len(self._records) >= ADDRESSES:
            oldest = min(self._records, key=lambda known: self._records[known].last_ms)
            del self._records[oldest]
        record = self._records[address] = _Record()
        return record
