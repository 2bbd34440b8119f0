"""System calls that last some microseconds, made without giving the interpreter lock away. Called by agent_pc/restore.

Python's own give it away around each call. With a thread that receives and others that decode it is taken at once, and getting it back
costs more than the call: for tens of thousands of small files more than everything else together. All raise OSError.
"""

import ctypes
import os
import struct

_libc = ctypes.PyDLL(None, use_errno=True)
_NUMBER = ctypes.c_int
_PROTOTYPES = (
    ("openat", (_NUMBER, ctypes.c_char_p, _NUMBER, ctypes.c_uint)),
    ("close", (_NUMBER,)),
    ("fchown", (_NUMBER, ctypes.c_uint, ctypes.c_uint)),
    ("fchmod", (_NUMBER, ctypes.c_uint)),
    ("futimens", (_NUMBER, ctypes.c_char_p)),
    ("renameat2", (_NUMBER, ctypes.c_char_p, _NUMBER, ctypes.c_char_p, ctypes.c_uint)),
)
for _name, _takes in _PROTOTYPES:
    getattr(_libc, _name).argtypes = _takes

_TIMES = struct.Struct("@qqqq")  # struct timespec[2]: access, modification
_SECOND_NS = 1_000_000_000
_NOREPLACE = 1  # linux/fs.h


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def open_at(directory: int, name: bytes, flags: int, mode: int) -> int:
    """Handle of a file in the directory `directory`."""
    handle = _libc.openat(directory, name, flags, mode)
    if handle < 0:
        raise _failure()
    return handle


def close(handle: int) -> None:
    if _libc.close(handle):
        raise _failure()


def own(handle: int, uid: int, gid: int) -> None:
    """fchown(2)."""
    if _libc.fchown(handle, uid, gid):
        raise _failure()


def allow(handle: int, mode: int) -> None:
    """fchmod(2)."""
    if _libc.fchmod(handle, mode):
        raise _failure()


def date(handle: int, time_ns: int) -> None:
    """futimens(3), the same time for access and modification."""
    times = (*divmod(time_ns, _SECOND_NS), *divmod(time_ns, _SECOND_NS))
    if _libc.futimens(handle, _TIMES.pack(*times)):
        raise _failure()


def rename_over_nothing(directory: int, name: bytes, to: bytes) -> None:
    """renameat2(2) with RENAME_NOREPLACE, within a directory."""
    if _libc.renameat2(directory, name, directory, to, _NOREPLACE):
        raise _failure()
