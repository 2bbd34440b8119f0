"""The one binding layer to C libraries: `ffi` on MicroPython, `ctypes` on CPython, one table for both.

Drivers in hal/linux declare `Library(names, functions)`; everybody gets I/O buffers from `aligned`.

Type codes are those of MicroPython's ffi: v void, b B h H i I l L q Q integers, d double, p pointer, s NUL-terminated str.
A pointer argument is bytes, bytearray, memoryview (slices too), an address, or None for NULL; nothing is copied. The
collector does not move objects on either interpreter, but whoever gives C a pointer to keep must keep the object.
"""

import struct
import sys

from hal.errors import Unsupported

PAGE_BYTES = 4096

if sys.implementation.name == "micropython":
    import os

    import ffi
    import uctypes

    _open = ffi.open
    errno = os.errno

    def _bind(handle, name: str, returns: str, takes: str):
        return handle.func(returns, name, takes)

    def address(buffer) -> int:
        """Address of the first byte of a buffer."""
        return uctypes.addressof(buffer)

    def at(where: int, length: int):
        """Writable view of `length` bytes of memory that C owns; dead when C frees it."""
        return memoryview(uctypes.bytearray_at(where, length))

    copy_at = uctypes.bytes_at

    def callback(returns: str, function, takes: str):
        """C function pointer that calls `function`. Keep it as long as C may call it."""
        return ffi.callback(returns, function, takes)

else:
    import ctypes

    class _PyBuffer(ctypes.Structure):
        """`Py_buffer`; only `buf` matters here, the rest is room."""

        _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("room", ctypes.c_byte * 96)]

    _get_buffer = ctypes.pythonapi.PyObject_GetBuffer
    _get_buffer.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
    _release_buffer = ctypes.pythonapi.PyBuffer_Release
    _release_buffer.argtypes = (ctypes.c_void_p,)

    def address(buffer) -> int:
        """Address of the first byte of a buffer."""
        view = _PyBuffer()
        _get_buffer(buffer, ctypes.addressof(view), 0)
        found = view.buf
        _release_buffer(ctypes.addressof(view))
        return found or 0

    class _Pointer(ctypes.c_void_p):
        @classmethod
        def from_param(cls, value):
            if value is None or isinstance(value, int):
                return ctypes.c_void_p(value)
            if isinstance(value, ctypes._CFuncPtr):
                return value
            return ctypes.c_void_p(address(value))

    class _Text:
        @classmethod
        def from_param(cls, value):
            return ctypes.c_char_p(value.encode() if isinstance(value, str) else value)

    _TYPES = {
        "b": ctypes.c_int8,
        "B": ctypes.c_uint8,
        "h": ctypes.c_int16,
        "H": ctypes.c_uint16,
        "i": ctypes.c_int32,
        "I": ctypes.c_uint32,
        "l": ctypes.c_long,
        "L": ctypes.c_ulong,
        "q": ctypes.c_int64,
        "Q": ctypes.c_uint64,
        "d": ctypes.c_double,
        "p": _Pointer,
        "s": _Text,
    }
    # A NULL result is 0 on MicroPython: c_size_t gives the same, c_void_p would give None.
    _RESULTS = dict(_TYPES, v=None, p=ctypes.c_size_t, s=ctypes.c_char_p)

    def _open(name: str):
        return ctypes.CDLL(name, use_errno=True)

    errno = ctypes.get_errno

    def _bind(handle, name: str, returns: str, takes: str):
        function = handle[name]
        function.restype = _RESULTS[returns]
        function.argtypes = [_TYPES[code] for code in takes]
        return function

    def at(where: int, length: int):
        """Writable view of `length` bytes of memory that C owns; dead when C frees it."""
        return memoryview((ctypes.c_ubyte * length).from_address(where)).cast("B")

    copy_at = ctypes.string_at

    def callback(returns: str, function, takes: str):
        """C function pointer that calls `function`. Keep it as long as C may call it."""
        plain = dict(_RESULTS, p=ctypes.c_size_t)
        return ctypes.CFUNCTYPE(plain[returns], *[plain[code] for code in takes])(function)


class Library:
    """A shared library, opened at the first use of one of its functions, which are attributes.

    `names` are the sonames to try in order; `functions` maps name to (result, arguments) in type codes.
    """

    def __init__(self, names: tuple, functions: dict):
        self._names = names
        self._functions = functions
        self._handle = None

    def __getattr__(self, name: str):
        if name not in self._functions:
            raise AttributeError("%s is not declared for %s" % (name, self._names[0]))
        returns, takes = self._functions[name]
        try:
            function = _bind(self._opened(), name, returns, takes)
        except (OSError, AttributeError):
            raise Unsupported("%s has no function %s: install the version that the image has" % (self._names[0], name))
        setattr(self, name, function)
        return function

    def _opened(self):
        for name in self._names:
            if self._handle is None:
                try:
                    self._handle = _open(name)
                except OSError:
                    pass
        if self._handle is None:
            raise Unsupported("none of the libraries %s is installed" % ", ".join(self._names))
        return self._handle


def aligned(nbytes: int, align: int = PAGE_BYTES):
    """A new zeroed, writable memoryview of `nbytes` whose address is a multiple of `align` (a power of two).

    It lives on the collected heap. Allocate once and reuse: the collector scans what it holds.
    """
    room = bytearray(nbytes + align)
    start = -address(room) % align
    return memoryview(room)[start : start + nbytes]


_memory = Library(("libc.so.6",), {"mmap": ("p", "pLiiil"), "munmap": ("i", "pL")})
_READ_WRITE = 3
_PRIVATE_ANONYMOUS = 0x22
_MAP_FAILED = (1 << 8 * struct.calcsize("P")) - 1


class Mapping:
    """`view`: zeroed memory outside the collected heap, page-aligned. For large buffers that live long: the collector neither
    scans it nor needs room for it. Its owner closes it; slices of `view` are dead then."""

    def __init__(self, nbytes: int):
        """Raises MemoryError."""
        self._nbytes = nbytes
        self._where = _memory.mmap(None, nbytes, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        if self._where & _MAP_FAILED == _MAP_FAILED:
            self._where = 0
            raise MemoryError("no memory for a buffer of %d bytes" % nbytes)
        self.view = at(self._where, nbytes)

    def blocks(self, size: int) -> list:
        """The whole of it cut into views of `size` bytes."""
        return [self.view[start : start + size] for start in range(0, self._nbytes - size + 1, size)]

    def close(self) -> None:
        """Give the memory back. Nothing may touch a view of it afterwards. More than one call does no harm."""
        where, self._where, self.view = self._where, 0, None
        if where:
            _memory.munmap(where, self._nbytes)
