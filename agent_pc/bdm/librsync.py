"""Binding to librsync 2.3 (the C library): RabinKarp and BLAKE2b signatures, deltas. Called by agent_pc/bdm and agent_pc/packs.

Ref: librsync.h, `rs_sig_begin`, `rs_loadsig_begin`, `rs_delta_begin`, `rs_job_iter`; prototab.h for the delta's commands.
Its BLAKE2 with strong_len 32 is BLAKE2b-256, so one pass gives a pack's SUMs.
"""

import ctypes
import struct

from agent_pc.bdm.sums import Sums
from agent_pc.exits import AgentError
from firmware.formats import pack

_SONAME = "librsync.so.2"
_RK_BLAKE2 = 0x72730147
_STRONG_BYTES = 8  # of a fingerprint in a set
_DONE, _BLOCKED = 0, 1
_SIG_HEAD = struct.Struct(">III")
_SET_ROW = struct.Struct(">I8s")
_SMALL_BYTES = 1 << 15  # up to here a call is shorter than giving the interpreter away and getting it back
_OUT_BYTES = 1 << 17
_SIZES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class _Buffers(ctypes.Structure):
    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("eof_in", ctypes.c_int),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
    )


_PROTOTYPES = (
    ("rs_sig_begin", ctypes.c_void_p, (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)),
    ("rs_loadsig_begin", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("rs_build_hash_table", ctypes.c_int, (ctypes.c_void_p,)),
    ("rs_delta_begin", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("rs_job_iter", ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p)),
    ("rs_job_free", ctypes.c_int, (ctypes.c_void_p,)),
    ("rs_free_sumset", None, (ctypes.c_void_p,)),
    ("rs_strerror", ctypes.c_char_p, (ctypes.c_int,)),
)


def _load(loader):
    try:
        library = loader(_SONAME)
    except OSError:
        library = _searched(loader)
    for function, result, arguments in _PROTOTYPES:
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library


def _searched(loader):
    """Where it is called something else. Looking for it starts programs."""
    import ctypes.util

    name = ctypes.util.find_library("rsync")
    try:
        if name:
            return loader(name)
    except OSError:
        pass
    raise AgentError("INTERNAL", f"{_SONAME}: expected the C library librsync 2.3, found none; install the package librsync2")


_free = _load(ctypes.CDLL)  # gives the interpreter lock away during a call
_held = _load(ctypes.PyDLL)  # keeps it


def _fail(what: str, result: int) -> AgentError:
    return AgentError("INTERNAL", f"librsync: {what}: {_held.rs_strerror(result).decode()}")


class _View(ctypes.Structure):
    """`Py_buffer`; only `buf` matters here, the rest is room."""

    _fields_ = (("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("room", ctypes.c_byte * 96))


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.c_void_p,)


def _address(data) -> int:
    """Address of the first byte of a contiguous buffer, which the caller keeps alive."""
    view = _View()
    where = ctypes.addressof(view)
    _get_buffer(data, where, 0)
    _release_buffer(where)
    return view.buf or 0


def sums(data, chunk_bytes: int) -> Sums:
    """Of `data` cut in chunks, the last one shorter. No data is one item of no bytes."""
    length = len(data)
    if not length:
        return Sums(chunk_bytes, 1, 0, pack.NOTHING)
    count = -(-length // chunk_bytes)
    library = _held if length <= _SMALL_BYTES else _free
    out = bytearray(_SIG_HEAD.size + count * pack.SUM.size)
    buffers = _Buffers(_address(data), length, 1, _address(out), len(out))
    job = _held.rs_sig_begin(chunk_bytes, 32, _RK_BLAKE2)
    result = library.rs_job_iter(job, ctypes.addressof(buffers))
    _held.rs_job_free(job)
    if result != _DONE or buffers.avail_out:
        raise _fail("signature", result)
    return Sums(chunk_bytes, count, length - (count - 1) * chunk_bytes, bytes(memoryview(out)[_SIG_HEAD.size :]))


class SumSet:
    """A fingerprint set in the library's own form. Block k is the k-th of `prints` [(weak, strong8)]. Close it."""

    def __init__(self, chunk_bytes: int, prints: list):
        signature = _SIG_HEAD.pack(_RK_BLAKE2, chunk_bytes, _STRONG_BYTES) + b"".join([_SET_ROW.pack(*row) for row in prints])
        self.handle = ctypes.c_void_p()
        job = _held.rs_loadsig_begin(ctypes.addressof(self.handle))
        buffers = _Buffers(_address(signature), len(signature), 1, None, 0)
        result = _free.rs_job_iter(job, ctypes.addressof(buffers))
        _held.rs_job_free(job)
        if result == _DONE:
            result = _free.rs_build_hash_table(self.handle)
        if result != _DONE:
            self.close()
            raise _fail("fingerprint set", result)

    def close(self) -> None:
        if self.handle:
            _held.rs_free_sumset(self.handle)
            self.handle = ctypes.c_void_p()


class Delta:
    """One pass over new contents against a SumSet. `feed` gives commands: ("copy", position, length) or ("literal", bytes)."""

    def __init__(self, sums: SumSet):
        self._job = _held.rs_delta_begin(sums.handle)
        self._out = ctypes.create_string_buffer(_OUT_BYTES)
        self._rest = b""
        self._head = 4  # bytes of magic still to come

    def feed(self, data, last: bool) -> list:
        """Commands that are certain after `data`; `last`: no data follows."""
        buffers = _Buffers(_address(data) if len(data) else None, len(data), 1 if last else 0, None, 0)
        out: list[bytes] = [self._rest]
        while True:
            buffers.next_out = ctypes.addressof(self._out)
            buffers.avail_out = _OUT_BYTES
            result = _free.rs_job_iter(self._job, ctypes.addressof(buffers))
            if result not in (_DONE, _BLOCKED):
                raise _fail("delta", result)
            came = _OUT_BYTES - buffers.avail_out
            out.append(ctypes.string_at(self._out, came))
            if result == _DONE or (not buffers.avail_in and not last and came < _OUT_BYTES):
                break
        return self._parse(b"".join(out))

    def _parse(self, stream: bytes) -> list:
        commands: list = []
        at = 0
        if self._head:
            if len(stream) < self._head:
                self._rest = stream
                return commands
            at, self._head = self._head, 0
        while at < len(stream):
            command, end = _command(stream, at)
            if command is None:
                break
            if command:
                commands.append(command)
            at = end
        self._rest = stream[at:]
        return commands

    def close(self) -> None:
        if self._job:
            _held.rs_job_free(self._job)
            self._job = None


def _command(stream: bytes, at: int):
    """(command, end); (None, at) if it is not complete; ((), end) for the end mark."""
    code = stream[at]
    at += 1
    if code == 0:
        return (), at
    if code <= 0x44:
        length = code
        if code > 0x40:
            width = 1 << code - 0x41
            if at + width > len(stream):
                return None, at
            (length,) = struct.unpack_from(">" + _SIZES[width], stream, at)
            at += width
        if at + length > len(stream):
            return None, at
        return ("literal", stream[at : at + length]), at + length
    if code > 0x54:
        raise AgentError("INTERNAL", f"librsync: delta: unknown command {code}")
    widths = 1 << (code - 0x45 >> 2), 1 << (code - 0x45 & 3)
    if at + sum(widths) > len(stream):
        return None, at
    position, length = struct.unpack_from(">" + _SIZES[widths[0]] + _SIZES[widths[1]], stream, at)
    return ("copy", position, length), at + sum(widths)
