"""How much a client may learn of others' files by asking for CRCs, and how often it may prove wrong. Kept by the store, used by rfe.py.

A client is told of files that others hold, and should then prove that it holds them, too. Who does not prove was guessing: after so many
unproven answers in a day it is answered as if nothing were held, and cannot tell. Honest clients prove nearly all, and earn more.
"""

from hal.loop import now_ms

UNPROVEN = 2048  # answers a day: what an honest backup has under way when it is cut
EARNED = 8  # files proven or sent for one answer more
FAILURES = 64  # wrong proofs a day after which right ones do not count either
_DAY_MS = 86400000


class Allowance:
    """One client's of today."""

    def __init__(self):
        self._since_ms = now_ms()
        self._unproven = 0
        self._earned = 0
        self._failures = 0

    def _today(self) -> None:
        if now_ms() - self._since_ms >= _DAY_MS:
            self.__init__()

    def answers(self) -> int:
        """Files of others that may be named now."""
        self._today()
        return max(0, UNPROVEN + self._earned // EARNED - self._unproven)

    def named(self, files: int) -> None:
        self._unproven += files

    def proven(self, files: int) -> None:
        self._unproven = max(0, self._unproven - files)
        self._earned += files

    def sent(self, files: int) -> None:
        """So many file objects came."""
        self._earned += files

    def failed(self) -> None:
        self._failures += 1

    def trusted(self) -> bool:
        """Whether a right proof counts."""
        self._today()
        return self._failures < FAILURES


class Budget:
    """Allowances by client. Lost when the store is closed."""

    def __init__(self):
        self._clients = {}

    def of(self, client: int) -> Allowance:
        if client not in self._clients:
            self._clients[client] = Allowance()
        return self._clients[client]
