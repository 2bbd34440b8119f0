"""The ways to read a file, tried in order. Made by agent_pc/backup.py; used by bdm.reader, fdm.rfe and afm.waiting."""

import os
import time

from agent_pc.afm import plain
from agent_pc.afm.clone import Clone
from agent_pc.afm.guard import Frozen, Guard
from agent_pc.afm.kinds import sqlite
from agent_pc.afm.options import Options
from agent_pc.guard.freezing import GuardedMount
from firmware.formats import dtf

# field of Options that switches it on, Guard; the first that gives something is taken
STRATEGIES = (("guard", GuardedMount), ("clone", Clone))


class Sources:
    """`guards` stands for the table, in tests."""

    def __init__(self, options: Options | None = None, guards: list[Guard] | None = None):
        options = options or Options()
        self._write_free_ns = options.write_free_ns
        self._guards = [made() for field, made in STRATEGIES if getattr(options, field)] if guards is None else guards

    def open(self, path: bytes, expected: os.stat_result, attempt: int = 0) -> Frozen:
        """To read now; from the second attempt on by a guard if there is one. Raises OSError."""
        frozen = self._guarded(path, None if attempt else expected.st_size)
        if frozen is not None and frozen.status.st_dev == expected.st_dev:
            return self._labelled(frozen)
        return plain.Plain(path, expected.st_dev, self._write_free_ns)

    def freeze(self, path: bytes, size: int | None = None) -> Frozen | None:
        """As it is now, to be read later; None where that is impossible, or not worth it for a file of `size`."""
        return self._guarded(path, size)

    def _guarded(self, path: bytes, size: int | None) -> Frozen | None:
        for guard in self._guards:
            frozen = guard.open(path) if size is None or size >= guard.least_bytes else None
            if frozen is not None:
                return frozen
        return None

    def _labelled(self, frozen: Frozen) -> Frozen:
        """One moment of a database in use is not enough without its journal."""
        if not plain.safe(frozen.status, time.time_ns(), self._write_free_ns) and sqlite(frozen.handle):
            frozen.label = dtf.UNGUARDED
        return frozen
