"""The stage of the hostile-agent suite: an appliance's door with real storage, a victim with a view, an intruder with an account.

The intruder has paired as anybody may: it owns a token, knows the protocol and guesses every number right. After each attack
`Stage.sound` compares: the victim's views come back byte for byte, the store's books agree, no traceback was logged, memory is bounded.
"""

import hashlib
import os
import re

from firmware.formats import catalog, message
from firmware.formats.refusal import Refusal
from tests.lab import tree
from tests.lab.door_client import DoorProcess, resident_bytes
from tests.lab.wire import Wire, known

DISK_BYTES = 256 << 20
LOG_LINES = 12  # that one attack may cause
PEAK_BYTES = 128 << 20  # of the whole process, interpreter's heap of 64 MiB and caches of the kernel's pages included
_VICTIM = "127.0.0.3"
_INTRUDER = "127.0.0.66"
SECRET = {
    b"empty": b"",
    b"letter": b"dear diary " * 100,
    b"ledger": hashlib.shake_128(b"ledger").digest(700_000),
    b"photo": hashlib.shake_128(b"photo").digest(90_000),
}


class Stage:
    """`door` (DoorProcess); `victim`, `intruder` (uuid, token); `root` (group, index) of the victim's only view."""

    def __init__(self, door: DoorProcess):
        self.door = door
        self._count = 0
        self.victim_id, self.victim = self._paired("victim", _VICTIM)
        self.intruder_id, self.intruder = self._paired("intruder", _INTRUDER)
        with self.honest() as wire:
            self.view = tree.backup(wire, SECRET)
            row = message.VIEW.tuple(*wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views[0])
        self.root = row.root_group, row.root_index
        self.views = self.listed(self.victim)
        self.door.ask("audit")

    def _paired(self, name: str, source: str) -> tuple:
        made = self.door.ask("client " + name)
        with Wire(self.door.address, source) as wire:
            wire.hello()
            return made["id"], wire.pair(made["code"])

    def newcomer(self) -> None:
        """Another intruder from now on, of whom the appliance knows nothing yet."""
        self._count += 1
        self.intruder_id, self.intruder = self._paired("intruder%d" % self._count, _INTRUDER)

    def honest(self) -> Wire:
        return known(self.door.address, self.victim, _VICTIM)

    def hostile(self) -> Wire:
        return known(self.door.address, self.intruder, _INTRUDER)

    def listed(self, identity) -> list:
        """wire.VIEW rows of a client."""
        with known(self.door.address, identity) as wire:
            return wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views

    def peak_bytes(self) -> int:
        """The most memory that the appliance ever had in use."""
        return resident_bytes(self.door.pid, "VmHWM")

    def rows(self, table: str) -> int:
        """Rows of a table of the catalog, once nothing is left to free."""
        told = self.door.ask("audit")
        assert told["fault"] == "", told["fault"]
        return told["rows"][table]

    def log(self) -> list:
        return self.door.ask("log")["lines"]

    def sound(self) -> None:
        """Nothing lost, nothing gained. AssertionError says what."""
        self.rows(catalog.CLIENTS)
        with self.honest() as wire:
            assert tree.restore(wire, self.view) == SECRET
        assert self.listed(self.victim)[: len(self.views)] == self.views
        assert not [line for line in self.log() if "Traceback" in line], "\n".join(self.log())
        told = [line for line in self.door.ask("news")["lines"] if "client victim" not in line]
        assert len(told) <= LOG_LINES, "\n".join(told)
        assert self.peak_bytes() < PEAK_BYTES, "%d bytes at the peak" % self.peak_bytes()


def begin(wire: Wire):
    """GRANT; waits while the connection before this one ends."""
    for _ in range(200):
        try:
            return wire.ask("BEGIN", 1, 1, expect="GRANT")
        except Refusal as refusal:
            assert refusal.name == "BUSY", refusal
    raise AssertionError("always busy")


def said(wire: Wire, *ends: str) -> list:
    """[(message, body)] of an answer up to the first of `ends` or ERROR, numbers in texts masked: two that look the same are equal."""
    seen = []
    while True:
        name, values, _ = wire.receive()
        shown = values if isinstance(values, bytes) else tuple(values)
        seen.append((name, len(repr(shown)), re.sub(r"\d+", "#", repr(shown))))
        if name in ends or name == "ERROR":
            return seen


def fresh(count: int) -> bytes:
    """Bytes that nobody holds."""
    return os.urandom(count)
