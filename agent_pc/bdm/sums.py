"""The sums of a buffer cut in chunks, as librsync gives them and packs hold them. Made by bdm.librsync; nobody loops over its rows."""

import struct

from agent_pc.bdm import prints
from firmware.formats import pack

_ROW = struct.Struct(">I8s24x")


class Sums:
    """`count` chunks of `chunk` bytes, the last of `last` bytes; `rows`: a pack.SUM for each, one after the other."""

    __slots__ = ("chunk", "count", "last", "rows")

    def __init__(self, chunk: int, count: int, last: int, rows: bytes):
        self.chunk = chunk
        self.count = count
        self.last = last
        self.rows = rows

    @property
    def length(self) -> int:
        """Bytes of all chunks."""
        return (self.count - 1) * self.chunk + self.last

    def lengths(self) -> bytes:
        """As a pack's table has them."""
        last = pack.LENGTH.pack(self.last)
        return last if self.count == 1 else pack.LENGTH.pack(self.chunk) * (self.count - 1) + last

    def part(self, first: int, end: int) -> "Sums":
        """Chunks first .. end-1, at least one."""
        size = pack.SUM.size
        last = self.last if end == self.count else self.chunk
        return Sums(self.chunk, end - first, last, self.rows[first * size : end * size])

    def prints(self) -> bytes:
        """The fingerprint set (bdm.prints)."""
        rows = [(self.chunk, weak, strong) for weak, strong in _ROW.iter_unpack(self.rows)]
        rows[-1] = (self.last, *rows[-1][1:])
        return prints.pack(rows)
