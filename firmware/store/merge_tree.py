"""Directory trees as a merge needs them: goes through a directory's entries by name, builds the nodes of an attic. Used by merge_walk.py.

What agents wrote behind the references is not checked when it is taken, so it is checked here: lengths, counts and order. A
directory that is damaged or not in order raises `Damaged`.
"""

import struct

from firmware.formats import dtf, limits
from firmware.formats.record import FormatError

_INDEX_LEVELS = 4
_CUT_ENTRIES = 2048
_CUT_BYTES = 1 << 18
_ENTRY_BYTES = 3 << 18  # longest entry that an attic takes
_HEAD = dtf.ENTRY.size
_SIZES_AT = _HEAD - 8  # name_bytes, target_bytes, extras_bytes


class Damaged(Exception):
    """This directory cannot be read or is not what the format says."""


class Row:
    """An entry: name, ref (kind, group, index), raw (ENTRY, name, target, extras)."""

    def __init__(self, name: bytes, ref, raw: bytes):
        self.name = name
        self.ref = ref
        self.raw = raw

    def is_directory(self) -> bool:
        return self.raw[0] == dtf.DIRECTORY

    def node(self):
        """(group, index) of a directory's node, None if it is empty or no directory."""
        return self.ref[1:] if self.raw[0] == dtf.DIRECTORY and self.ref[0] == dtf.NODE_REF else None

    def attic(self):
        """(deleted_ns, oldest_ns), (0, 0) if it has none of its own."""
        for name, value in _extras(self.raw):
            if name == dtf.ATTIC_EXTRA:
                try:
                    return tuple(dtf.ATTIC.unpack(value))
                except FormatError as error:
                    raise Damaged(str(error))
        return 0, 0

    def with_attic(self, ref, deleted_ns: int, oldest_ns: int):
        """This entry in an attic, its contents at `ref`."""
        name_bytes, target_bytes, _ = struct.unpack_from("<HHI", self.raw, _SIZES_AT)
        end = _HEAD + name_bytes + target_bytes
        extras = [dtf.EXTRA.pack(*pair) for pair in _extras(self.raw) if pair[0] != dtf.ATTIC_EXTRA]
        extras.append(dtf.EXTRA.pack(dtf.ATTIC_EXTRA, dtf.ATTIC.pack(deleted_ns, oldest_ns)))
        tail = b"".join(extras)
        flags = self.raw[1] | dtf.DELETED if deleted_ns else self.raw[1] & ~dtf.DELETED
        head = self.raw[:1] + bytes([flags]) + self.raw[2 : _HEAD - 4] + struct.pack("<I", len(tail))
        return Row(self.name, ref, head + self.raw[_HEAD:end] + tail)

    def same(self, other) -> bool:
        return other is not None and self.ref == other.ref and self.raw == other.raw


def _extras(raw: bytes) -> list:
    """[(name, value)]"""
    name_bytes, target_bytes, _ = struct.unpack_from("<HHI", raw, _SIZES_AT)
    at = _HEAD + name_bytes + target_bytes
    found = []
    try:
        while at < len(raw):
            extra, at = dtf.EXTRA.unpack_from(raw, at)
            found.append(tuple(extra))
    except FormatError as error:
        raise Damaged(str(error))
    return found


class Cursor:
    """The entries of one directory in order. `load(ref)` gives a node's bytes; `ref` is (group, index) or None: no entries.

    Between two parts of a large directory (`part` is not None) a part can be left out unread.
    """

    def __init__(self, load, ref, opened=None):
        self._load = load
        self._opened = opened  # is told of every LIST: (ref, bytes)
        self._waiting = [] if ref is None else [(ref, None, 0)]  # (ref, first name if known, level), next one last
        self._leaf = None  # [ref, bytes, entries, next entry, offset of its bytes]
        self._row = None
        self._last = None

    def weight(self) -> int:
        """Parts that it keeps in mind."""
        return len(self._waiting)

    def part(self):
        """The node that comes next, None in the middle of one or at the end."""
        return self._waiting[-1][0] if self._leaf is None and self._waiting else None

    def skip(self) -> None:
        """Leave the next part out."""
        self._waiting.pop()

    def release(self) -> None:
        """Let go of the bytes; they are read again when needed."""
        self._row = None
        if self._leaf is not None:
            self._leaf[1] = None

    async def name(self):
        """Name of the next entry, None at the end. Raises Damaged."""
        while self._leaf is None:
            if not self._waiting:
                return None
            if self._waiting[-1][1] is not None:
                return self._waiting[-1][1]
            await self._open()
        return (await self.row()).name

    async def row(self):
        """The next entry; there is one. Raises Damaged."""
        while self._leaf is None:
            await self._open()
        if self._row is None:
            if self._leaf[1] is None:
                self._leaf[1] = await self._load(self._leaf[0])
            self._row = self._parse()
        return self._row

    def advance(self) -> None:
        """Past the entry that `row` gave."""
        leaf = self._leaf
        self._last = self._row.name
        leaf[3] += 1
        leaf[4] += len(self._row.raw)
        self._row = None
        if leaf[3] == leaf[2]:
            self._leaf = None

    def _parse(self):
        _, data, _, position, at = self._leaf
        ref = struct.unpack_from("<BII", data, dtf.NODE.size + position * dtf.REF.size)
        if at + _HEAD > len(data):
            raise Damaged("an entry is cut off")
        name_bytes, target_bytes, extras_bytes = struct.unpack_from("<HHI", data, at + _SIZES_AT)
        end = at + _HEAD + name_bytes + target_bytes + extras_bytes
        name = data[at + _HEAD : at + _HEAD + name_bytes]
        if end > len(data) or end - at > _ENTRY_BYTES or not name or (self._last is not None and name <= self._last):
            raise Damaged("an entry is cut off, too long or out of order")
        return Row(name, ref, data[at:end])

    async def _open(self) -> None:
        ref, _, level = self._waiting.pop()
        data = await self._load(ref)
        try:
            head = dtf.NODE.unpack_from(data)[0]
        except FormatError as error:
            raise Damaged(str(error))
        rest = dtf.NODE.size + head.count * dtf.REF.size
        if head.count > limits.NODE_ENTRIES or rest > len(data):
            raise Damaged("a node of %d entries in %d bytes" % (head.count, len(data)))
        if head.kind == dtf.LIST:
            if self._opened is not None:
                self._opened(ref, data)
            if head.count:
                self._leaf = [ref, data, head.count, 0, rest]
        elif level < _INDEX_LEVELS:
            self._waiting.extend(_children(data, head.count, rest, level))
        else:
            raise Damaged("more than %d levels of index" % _INDEX_LEVELS)


def _children(data: bytes, count: int, at: int, level: int) -> list:
    """Waiting rows of an INDEX, the first one last."""
    found = []
    for position in range(count):
        ref = struct.unpack_from("<BII", data, dtf.NODE.size + position * dtf.REF.size)
        if at + 2 > len(data):
            raise Damaged("an index is cut off")
        (length,) = struct.unpack_from("<H", data, at)
        found.append((ref[1:], data[at + 2 : at + 2 + length], level + 1))
        at += 2 + length
    found.reverse()
    return found


class Builder:
    """Collects the entries of one attic directory, in order, into nodes. `emit(body, refs)` gives a node's (group, index)."""

    def __init__(self, emit, known: dict):
        self._emit = emit
        self._known = known  # bytes' digest -> (group, index) of nodes that exist already
        self._rows = []
        self._bytes = 0
        self._parts = []  # (first name, ref)
        self.count = 0
        self.oldest_ns = 0

    async def add(self, row) -> None:
        oldest_ns = row.attic()[1]
        if oldest_ns and (not self.oldest_ns or oldest_ns < self.oldest_ns):
            self.oldest_ns = oldest_ns
        if len(self._rows) >= _CUT_ENTRIES or (self._rows and self._bytes + len(row.raw) > _CUT_BYTES):
            await self.spill()
        self._rows.append(row)
        self._bytes += len(row.raw) + dtf.REF.size
        self.count += 1

    async def spill(self) -> None:
        """What was collected becomes a part."""
        if self._rows:
            rows, self._rows, self._bytes = self._rows, [], 0
            self._parts.append((rows[0].name, await self._node(dtf.LIST, [row.ref for row in rows], [row.raw for row in rows])))

    async def _node(self, kind: int, refs: list, rest: list):
        body = b"".join([dtf.NODE.pack(kind, len(refs))] + [dtf.REF.pack(*ref) for ref in refs] + rest)
        return self._known.get(body) or await self._emit(body, refs)

    async def finish(self):
        """(group, index) of the directory's node, None if nothing was added."""
        await self.spill()
        parts = self._parts
        while len(parts) > 1:
            above = []
            for at in range(0, len(parts), _CUT_ENTRIES):
                some = parts[at : at + _CUT_ENTRIES]
                refs = [(dtf.NODE_REF,) + ref for _, ref in some]
                names = [struct.pack("<H", len(name)) + name for name, _ in some]
                above.append((some[0][0], await self._node(dtf.INDEX, refs, names)))
            parts = above
        return parts[0][1] if parts else None


class Known:
    """Nodes of the attic directory that is being rewritten, so that equal ones are not written again."""

    def __init__(self, digest):
        self._digest = digest
        self._refs = {}

    def note(self, ref, body) -> None:
        self._refs[self._digest(body)] = ref

    def get(self, body):
        return self._refs.get(self._digest(body)) if self._refs else None
