"""Admission: how many backups run at a time, and what rate each is granted. Sessions take a slot at BEGIN.

The receive buffer of a backup belongs to its slot and is used again by the next one: buffers are bounded by the number of slots.
"""

from firmware.formats import limits
from firmware.formats.refusal import Refusal
from hal.native import Mapping

RETRY_S = 30
SESSIONS = "backup.sessions"
RATE = "backup.rate_bytes_s"


class Slot:
    """`rate_bytes_s`: what its backup may send, 0 without bound. `buffer`: memoryview of FRAME_BYTES."""

    def __init__(self):
        self._memory = Mapping(limits.FRAME_BYTES)
        self.buffer = self._memory.view
        self.rate_bytes_s = 0

    def close(self) -> None:
        """Give the memory back; the buffer is dead."""
        self.buffer = None
        self._memory.close()


class Slots:
    def __init__(self, config):
        self._config = config
        self._taken = []
        self._spare = []

    def running(self) -> int:
        """Slots taken."""
        return len(self._taken)

    def take(self) -> Slot:
        """A slot until `release`. Raises Refusal BUSY when all are taken."""
        most = self._config.get(SESSIONS)
        if len(self._taken) >= most:
            raise Refusal("BUSY", "%d backups are running, no more at a time: ask again in %d s" % (most, RETRY_S), RETRY_S)
        slot = self._spare.pop() if self._spare else Slot()
        slot.rate_bytes_s = self._config.get(RATE)
        self._taken.append(slot)
        return slot

    def release(self, slot: Slot) -> None:
        """Give a slot back."""
        self._taken.remove(slot)
        if len(self._taken) + len(self._spare) < self._config.get(SESSIONS):
            self._spare.append(slot)
        else:
            slot.close()
