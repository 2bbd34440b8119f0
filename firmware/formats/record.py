"""Declares the bytes of every message, disk structure and tape block once; packs, checks and documents from the same rows.

A `Record` is a list of rows (name, type). Types: a struct code ("B", "H", "I", "Q", "q", "16s" ...), or one of the
variable parts below. All integers are little-endian. Used by every other module of firmware/formats and by docs/formats.md.
"""

import struct
from collections import namedtuple

_RANGES = {"B": (0, 0xFF), "H": (0, 0xFFFF), "I": (0, 0xFFFFFFFF), "Q": (0, (1 << 64) - 1), "q": (-(1 << 63), (1 << 63) - 1)}
_COUNT = "<I"
_COUNT_BYTES = 4
_TOGETHER = 256  # rows unpacked at a time


class FormatError(Exception):
    """Bytes that are not what the table says, or values that do not fit it. The text names record and field."""


class Bytes:
    """Row type: u32 length, then that many bytes, at most `limit`. Unpacks to a bytes copy."""

    def __init__(self, limit: int):
        self.limit = limit
        self.label = "bytes, u32 length first, at most %d" % limit

    def pack(self, where: str, value) -> bytes:
        if len(value) > self.limit:
            raise FormatError("%s: expected at most %d bytes, got %d" % (where, self.limit, len(value)))
        return struct.pack(_COUNT, len(value)) + bytes(value)

    def unpack(self, where: str, data, offset: int):
        start, end = _span(where, data, offset, self.limit, 1)
        return bytes(data[start:end]), end


class Text(Bytes):
    """Row type: UTF-8 text, `limit` counts bytes."""

    def __init__(self, limit: int):
        super().__init__(limit)
        self.label = "UTF-8 text, u32 length first, at most %d bytes" % limit

    def pack(self, where: str, value) -> bytes:
        return Bytes.pack(self, where, value.encode())

    def unpack(self, where: str, data, offset: int):
        raw, end = Bytes.unpack(self, where, data, offset)
        try:
            return raw.decode(), end
        except UnicodeError:
            raise FormatError("%s: expected UTF-8 text, got other bytes" % where)


class Rows:
    """Row type: u32 count, then that many fixed-size records of `layout`, at most `limit`. Unpacks to a list of tuples."""

    def __init__(self, layout, limit: int):
        self.layout = layout
        self.limit = limit
        self.label = "u32 count, then %s each, at most %d" % (layout.name, limit)

    def pack(self, where: str, value) -> bytes:
        if len(value) > self.limit:
            raise FormatError("%s: expected at most %d rows, got %d" % (where, self.limit, len(value)))
        size = self.layout.size
        out = bytearray(_COUNT_BYTES + size * len(value))
        struct.pack_into(_COUNT, out, 0, len(value))
        offset = _COUNT_BYTES
        for row in value:
            self.layout.pack_into(out, offset, *row)
            offset += size
        return bytes(out)

    def unpack(self, where: str, data, offset: int):
        size = self.layout.size
        start, end = _span(where, data, offset, self.limit, size)
        rows = []
        for at in range(start, end, size * _TOGETHER):
            rows += self._unpacked(data, at, min((end - at) // size, _TOGETHER))
        return rows, end

    def _unpacked(self, data, at: int, count: int) -> list:
        """Tuples of `count` rows by one call of `struct`, which on MicroPython is dear."""
        code, width = self.layout.code, len(self.layout.rows)
        flat = struct.unpack_from(code[0] + code[1:] * count, data, at)
        return [flat[i : i + width] for i in range(0, width * count, width)]


class Flat(Rows):
    """As Rows, but packs from and unpacks to the bytes of the rows, one after the other: for code that counts every call.

    Values of the rows are not checked; the bytes that `unpack` gives are those of `data`.
    """

    def pack(self, where: str, value) -> bytes:
        count, rest = divmod(len(value), self.layout.size)
        if rest or count > self.limit:
            raise FormatError(
                "%s: expected at most %d rows of %d bytes, got %d bytes" % (where, self.limit, self.layout.size, len(value))
            )
        return struct.pack(_COUNT, count) + bytes(value)

    def unpack(self, where: str, data, offset: int):
        start, end = _span(where, data, offset, self.limit, self.layout.size)
        return data[start:end], end


def _span(where: str, data, offset: int, limit: int, unit: int):
    """Where a counted part begins and ends, after checking its count against the limit and the bytes there are."""
    if offset + _COUNT_BYTES > len(data):
        raise FormatError("%s: expected a count at byte %d, got %d bytes" % (where, offset, len(data)))
    (count,) = struct.unpack_from(_COUNT, data, offset)
    start = offset + _COUNT_BYTES
    if count > limit:
        raise FormatError("%s: expected at most %d, got %d" % (where, limit, count))
    if start + count * unit > len(data):
        raise FormatError("%s: expected %d bytes, got %d" % (where, count * unit, len(data) - start))
    return start, start + count * unit


def _check(where: str, code: str, value) -> None:
    bounds = _RANGES.get(code)
    if bounds is None:
        if len(value) != int(code[:-1]):
            raise FormatError("%s: expected %s bytes, got %d" % (where, code[:-1], len(value)))
    elif not bounds[0] <= value <= bounds[1]:
        raise FormatError("%s: expected %d to %d, got %d" % (where, bounds[0], bounds[1], value))


class Record:
    """One structure. `name` is unique; `size` is the size in bytes if all rows are fixed, else of the fixed head."""

    def __init__(self, name: str, rows, about: str = ""):
        self.name = name
        self.rows = rows
        self.about = about
        fixed = [row for row in rows if isinstance(row[1], str)]
        if fixed != list(rows[: len(fixed)]):
            raise FormatError("%s: expected fixed rows before variable ones" % name)
        self.code = "<" + "".join([row[1] for row in fixed])
        self.size = struct.calcsize(self.code)
        self._fixed = [(name + "." + row[0], row[1]) for row in fixed]
        self._parts = [(name + "." + row[0], row[1]) for row in rows[len(fixed) :]]
        self._tuple = None

    @property
    def tuple(self):
        """Named tuple of the rows; made when it is asked for: a program uses few of all records."""
        if self._tuple is None:
            self._tuple = namedtuple(self.name.replace(".", "_"), [row[0] for row in self.rows])
        return self._tuple

    def pack_into(self, buffer, offset: int, *values) -> None:
        """Write the fixed rows at `offset`. Raises FormatError for a value out of range."""
        for (where, code), value in zip(self._fixed, values):
            _check(where, code, value)
        struct.pack_into(self.code, buffer, offset, *values)

    def pack(self, *values) -> bytes:
        """All rows, in order. Raises FormatError for a value out of range or a part over its limit."""
        if len(values) != len(self.rows):
            raise FormatError("%s: expected %d values, got %d" % (self.name, len(self.rows), len(values)))
        head = bytearray(self.size)
        fixed = len(self._fixed)
        self.pack_into(head, 0, *values[:fixed])
        if not self._parts:
            return bytes(head)
        parts = [bytes(head)]
        for (where, kind), value in zip(self._parts, values[fixed:]):
            parts.append(kind.pack(where, value))
        return b"".join(parts)

    def unpack_from(self, data, offset: int = 0):
        """(named tuple, end offset). Raises FormatError naming the field that is short, long or over its limit."""
        if offset + self.size > len(data):
            raise FormatError("%s: expected %d bytes, got %d" % (self.name, self.size, len(data) - offset))
        values = list(struct.unpack_from(self.code, data, offset))
        end = offset + self.size
        for where, kind in self._parts:
            value, end = kind.unpack(where, data, end)
            values.append(value)
        return (self._tuple or self.tuple)(*values), end

    def unpack(self, data):
        """Named tuple of exactly the whole of `data`. Raises FormatError, also for bytes left over."""
        value, end = self.unpack_from(data)
        if end != len(data):
            raise FormatError("%s: expected %d bytes, got %d" % (self.name, end, len(data)))
        return value
