"""Who may use the console: the administrator's password, and the brake on guessing it."""

import binascii
import os

from hal.loop import now_ms

USER = "admin"
FACTORY_PASSWORD = "bobbin"
PASSWORD_LOW, PASSWORD_HIGH = 8, 64

_SCHEME = "pbkdf2-sha256"
_ROUNDS = 20000  # about 10 ms on a PC; the hash never leaves the box, and the brake bounds guessing
_SALT_BYTES = 16

_FIRST_DELAY_MS = 1000
_LAST_DELAY_MS = 60000
_FORGIVE_MS = 60000  # one failure is forgotten after so long
_PEERS = 64


def make_hash(machine, password: str) -> str:
    """What is stored in place of the password."""
    salt = os.urandom(_SALT_BYTES)
    digest = machine.pbkdf2(password.encode(), salt, _ROUNDS)
    return "$".join([_SCHEME, str(_ROUNDS), binascii.hexlify(salt).decode(), binascii.hexlify(digest).decode()])


def check(machine, stored: str, user: str, password: str) -> bool:
    """Whether this user has this password. `stored` "" stands for the factory password."""
    if not stored:
        return _same(password.encode(), FACTORY_PASSWORD.encode()) and user == USER
    scheme, rounds, salt, digest = stored.split("$")
    found = machine.pbkdf2(password.encode(), binascii.unhexlify(salt), int(rounds))
    return _same(found, binascii.unhexlify(digest)) and user == USER


def _same(one: bytes, other: bytes) -> bool:
    """Compares in a time that does not tell where the difference is."""
    difference = len(one) ^ len(other)
    for a, b in zip(one, other):
        difference |= a ^ b
    return difference == 0


def complaint(password: str):
    """What is wrong with a new password, or None."""
    if not PASSWORD_LOW <= len(password) <= PASSWORD_HIGH:
        return "expected %d to %d characters, got %d" % (PASSWORD_LOW, PASSWORD_HIGH, len(password))
    return None


class Brake:
    """Slows guessing down, for each line or peer: 1 s after the first failure, doubling to 60 s. Nobody is locked out."""

    def __init__(self, clock=now_ms):
        self._clock = clock
        self._failures = {}  # peer: (count, time of the last one)

    def delay_ms(self, peer: str) -> int:
        """How long `peer` must still wait before its next attempt is looked at."""
        count, last = self._failures.get(peer, (0, 0))
        if not count:
            return 0
        pause = min(_FIRST_DELAY_MS << min(count - 1, 10), _LAST_DELAY_MS)
        return max(0, last + pause - self._clock())

    def failed(self, peer: str) -> None:
        now = self._clock()
        count, last = self._failures.pop(peer, (0, now))
        count = max(0, count - (now - last) // _FORGIVE_MS)
        if len(self._failures) >= _PEERS:
            del self._failures[min(self._failures, key=lambda key: self._failures[key][1])]
        self._failures[peer] = (count + 1, now)

    def succeeded(self, peer: str) -> None:
        self._failures.pop(peer, None)
