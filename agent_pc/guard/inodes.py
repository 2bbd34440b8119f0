"""Every write passes here: what is frozen is saved first, what is logged is logged. Used by guard.mount.

One lock for each file orders writers and the reader of its frozen moment; `_lock` orders the tables.
"""

import os
import threading
import weakref
from collections.abc import Callable

from agent_pc.fda.regions import Regions
from agent_pc.guard.frozen import Frozen
from agent_pc.guard.log import Log
from agent_pc.guard.spool import Spool


class Inode:
    """One file that is open or frozen."""

    def __init__(self, number: int):
        self.number = number
        self.lock = threading.RLock()
        self.frozen: list = []


class Inodes:
    """`device`: only files of this one are logged and frozen."""

    def __init__(self, device: int, log: Log, spool: Spool):
        self.device = device
        self._log = log
        self._spool = spool
        self._lock = threading.RLock()
        self._table: weakref.WeakValueDictionary = weakref.WeakValueDictionary()

    def of(self, handle: int) -> Inode:
        """Of an open file. Keep it while writing to it."""
        status = os.fstat(handle)
        key = (status.st_dev, status.st_ino)
        with self._lock:
            inode = self._table.get(key)
            if inode is None:
                inode = self._table[key] = Inode(status.st_ino if status.st_dev == self.device else -1)
            return inode

    def write(self, inode: Inode, handle: int, start: int, end: int, act: Callable):
        """`act()` changes bytes start .. end-1 (or fewer) of the file; returns what it returns."""
        with inode.lock:
            entry = self._entry(inode, handle)
            size = os.fstat(handle).st_size
            low = min(start, size)  # a write beyond the end makes zeros between
            for frozen in inode.frozen:
                frozen.before(low, end)
            if entry is not None:
                with self._lock:
                    entry.written(low, end)
            try:
                return act()
            finally:
                self._stamp(inode, handle)

    def truncate(self, inode: Inode, handle: int, size: int) -> None:
        def act() -> None:
            os.ftruncate(handle, size)

        with inode.lock:
            old = os.fstat(handle).st_size
            self.write(inode, handle, min(size, old), max(size, old), act)

    def touch(self, inode: Inode, handle: int, act: Callable) -> None:
        """`act()` changes the times of the file."""
        with inode.lock:
            self._entry(inode, handle)
            try:
                act()
            finally:
                self._stamp(inode, handle)

    def _entry(self, inode: Inode, handle: int):
        """Log entry of the file; forgotten if somebody wrote to it around the guard."""
        with self._lock:
            entry = self._log.entries.get(inode.number)
            if entry is not None and entry.stamp != stamp(os.fstat(handle)):
                del self._log.entries[inode.number]
                return None
            return entry

    def _stamp(self, inode: Inode, handle: int) -> None:
        now = stamp(os.fstat(handle))
        for frozen in inode.frozen:
            frozen.stamp = now
        with self._lock:
            entry = self._log.entries.get(inode.number)
            if entry is not None:
                entry.stamp = now

    def forget(self, number: int) -> None:
        """The inode is a new file, or none."""
        with self._lock:
            self._log.entries.pop(number, None)

    # -- frozen moments

    def freeze(self, handle: int) -> "Hold":
        """The file as it is now; `handle` becomes the Hold's."""
        inode = self.of(handle)
        with inode.lock:
            self._entry(inode, handle)
            return Hold(self, inode, Frozen(handle, self._spool))

    def keep(self, hold: "Hold", signature: str) -> None:
        with hold.inode.lock, self._lock:
            entry = self._log.entries.get(hold.inode.number)
            now = stamp(os.fstat(hold.frozen.handle))
            around = (entry is not None and entry.stamp != now) or hold.frozen.stamp != now
            if hold.inode.number < 0 or hold.frozen.broken or around:
                return  # then nothing is known of what is written from now on
            self._log.keep(hold.inode.number, now, signature, hold.frozen.written)

    def changed(self, hold: "Hold", signature: str) -> Regions | None:
        """Written since the version `signature`, as far as this moment; later writes may be in it."""
        with hold.inode.lock:
            entry = self._entry(hold.inode, hold.frozen.handle)
            if entry is None or signature not in entry.since or hold.frozen.broken:
                return None
            return Regions(entry.since[signature])

    def drop(self, signature: str) -> None:
        with self._lock:
            self._log.drop(signature)


class Hold:
    """A frozen moment of one file. Close it."""

    def __init__(self, inodes: Inodes, inode: Inode, frozen: Frozen):
        self.inodes = inodes
        self.inode = inode
        self.frozen = frozen
        frozen.stamp = stamp(frozen.status)
        inode.frozen.append(frozen)

    def read(self, offset: int, length: int) -> bytes:
        with self.inode.lock:
            return self.frozen.read(offset, length)

    def saved(self) -> list:
        with self.inode.lock:
            return self.frozen.saved()

    def release(self, start: int, end: int) -> None:
        with self.inode.lock:
            self.frozen.release(start, end)

    def close(self) -> None:
        with self.inode.lock:
            self.inode.frozen.remove(self.frozen)
            self.frozen.close()


def stamp(status: os.stat_result) -> tuple:
    return status.st_mtime_ns, status.st_size
