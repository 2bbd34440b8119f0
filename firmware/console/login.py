"""Who may use the console: the administrator's password. What slows guessing down is firmware/core/brake.py."""

import binascii
import os

USER = "admin"
FACTORY_PASSWORD = "bobbin"
PASSWORD_LOW, PASSWORD_HIGH = 8, 64

_SCHEME = "pbkdf2-sha256"
_ROUNDS = 20000  # about 10 ms on a PC; the hash never leaves the box, and the brake bounds guessing
_SALT_BYTES = 16


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
