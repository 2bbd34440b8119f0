"""Slows guessing down, for each line, peer or address; nobody is locked out for good. Used by the console's login and by pairing."""

from hal.loop import now_ms

_MOST_DOUBLINGS = 16


class Brake:
    """`free` failures cost nothing; the next costs a pause of `first_ms`, doubling with each further one up to `longest_ms`. One
    failure is forgiven for every `forgive_ms` of quiet. At most `peers` are remembered: who was quiet for longest is forgotten first.
    """

    def __init__(
        self,
        free: int = 0,
        first_ms: int = 1000,
        longest_ms: int = 60000,
        forgive_ms: int = 60000,
        peers: int = 64,
        clock=now_ms,
    ):
        self._free = free
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._forgive_ms = forgive_ms
        self._peers = peers
        self._clock = clock
        self._failures = {}  # peer: (count, time of the last one)

    def delay_ms(self, peer: str) -> int:
        """How long `peer` must still wait before its next attempt is looked at."""
        count, last = self._failures.get(peer, (0, 0))
        if count <= self._free:
            return 0
        pause = min(self._first_ms << min(count - self._free - 1, _MOST_DOUBLINGS), self._longest_ms)
        return max(0, last + pause - self._clock())

    def failed(self, peer: str) -> None:
        """Count a failed attempt."""
        now = self._clock()
        count, last = self._failures.pop(peer, (0, now))
        count = max(0, count - (now - last) // self._forgive_ms)
        if len(self._failures) >= self._peers:
            del self._failures[min(self._failures, key=lambda key: self._failures[key][1])]
        self._failures[peer] = (count + 1, now)

    def succeeded(self, peer: str) -> None:
        """Forget the failures of `peer`."""
        self._failures.pop(peer, None)
