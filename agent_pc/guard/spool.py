"""Where old contents wait for the reader: a file without a name, bounded. Used by guard.frozen."""

import ctypes
import os
import tempfile
import threading

_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # fallocate(2)
_libc = ctypes.CDLL(None)


class Full(Exception):
    """No room for what was asked to be saved."""


class Spool:
    """Places are never used twice while somebody holds any; the space of what was freed is the filesystem's again."""

    def __init__(self, directory: str, limit_bytes: int):
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  closed by close()
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._end = 0
        self._held = 0
        self._users = 0

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end = self._held = 0
                self._file.truncate(0)

    def add(self, data: bytes) -> int:
        """Offset of `data`. Raises Full, OSError."""
        with self._lock:
            if self._held + len(data) > self._limit:
                raise Full(f"the spool of {self._limit} bytes is full")
            offset = self._end
            self._end += len(data)
            self._held += len(data)
        os.pwrite(self._file.fileno(), data, offset)
        return offset

    def free(self, offset: int, length: int) -> None:
        with self._lock:
            self._held -= length
        _libc.fallocate(self._file.fileno(), _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(offset), ctypes.c_long(length))

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)

    def close(self) -> None:
        self._file.close()
