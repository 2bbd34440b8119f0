"""How the interpreter is set while a restore runs: several threads hand over packs, and objects without cycles come and go by the thousand."""

import contextlib
import ctypes
import gc
import sys

_SWITCH_S = 0.0005  # until a thread that computes lets another go on
_GARBAGE_OBJECTS = 50_000
# malloc.h: packs are allocated and freed all the time. Without this glibc gives each one's pages back and takes new, zeroed ones.
_KEEP = ((-1, 16 << 20), (-2, 1 << 20), (-3, 16 << 20))  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


@contextlib.contextmanager
def tuned():
    """The memory settings stay: they only say what a process keeps for later."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for option, value in _KEEP if mallopt else ():
        mallopt(option, value)
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_GARBAGE_OBJECTS, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
