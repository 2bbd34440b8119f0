"""DTF nodes and their entries: parsed from the cached or downloaded tree, built for the new one. Called by fdm, restore, listing.

Ref: firmware/formats/dtf.py. What is parsed is hostile until checked: counts, lengths and names are.
"""

import stat
import struct
import zlib

from agent_pc.exits import AgentError
from firmware.formats import dtf, limits
from firmware.formats.record import FormatError

NODE = struct.Struct(dtf.NODE.code)
REF = struct.Struct(dtf.REF.code)
HEAD = struct.Struct(dtf.ENTRY.code)
_FIRST = struct.Struct("<H")
NO_REF = REF.pack(dtf.NOTHING, 0, 0)
_FIELDS = {row[0]: position for position, row in enumerate(dtf.ENTRY.rows)}

TYPES = {
    stat.S_IFREG: dtf.REGULAR,
    stat.S_IFDIR: dtf.DIRECTORY,
    stat.S_IFLNK: dtf.SYMLINK,
    stat.S_IFIFO: dtf.FIFO,
    stat.S_IFCHR: dtf.CHARACTER,
    stat.S_IFBLK: dtf.BLOCK,
    stat.S_IFSOCK: dtf.SOCKET,
}
TYPE_NAMES = ("file", "directory", "symlink", "fifo", "character device", "block device", "socket")

# A list is cut before a name whose CRC ends in nine zero bits, so that a change moves no other cut.
_CUT_MASK = (1 << 9) - 1
_CUT_MIN = 256
_CUT_MAX = 2048
_CUT_BYTES = 1 << 18
EXTRAS_BYTES = 1 << 19  # of one entry: a node must hold it
_INDEX_LEVELS = 4


class Entry:
    """One directory entry. `head`: fields of dtf.ENTRY; `raw`: its bytes; `ref`: (kind, group, index)."""

    __slots__ = ("head", "name", "raw", "ref")

    def __init__(self, ref: tuple, head: tuple, name: bytes, raw: bytes):
        self.ref = ref
        self.head = head
        self.name = name
        self.raw = raw

    def __getattr__(self, field: str):
        try:
            return self.head[_FIELDS[field]]
        except KeyError:
            raise AttributeError(field) from None

    @property
    def target(self) -> bytes:
        at = HEAD.size + self.name_bytes
        return self.raw[at : at + self.target_bytes]

    @property
    def tail(self) -> bytes:
        """Packed extras."""
        return self.raw[HEAD.size + self.name_bytes + self.target_bytes :]

    def extras(self) -> list:
        """[(name, value)]. Raises AgentError(PROTOCOL)."""
        out, at, tail = [], 0, self.tail
        try:
            while at < len(tail):
                extra, at = dtf.EXTRA.unpack_from(tail, at)
                out.append((extra.name, extra.value))
        except FormatError as error:
            raise AgentError("PROTOCOL", f"entry {self.name!r}: {error}") from None
        return out


def root(view) -> Entry:
    """The directory "/" of a view (wire.VIEW)."""
    return Entry((dtf.NODE_REF, view.root_group, view.root_index), (dtf.DIRECTORY,) + (0,) * 13, b"", b"")


def bad_name(name: bytes) -> bool:
    """Whether it cannot be one path component."""
    return not name or name in (b".", b"..") or b"/" in name or b"\0" in name or len(name) > limits.NAME_BYTES


def parse(body: bytes) -> tuple:
    """(kind, refs, rest): refs [(kind, group, index)], rest: offset of what belongs to the agent. Raises AgentError(PROTOCOL)."""
    if len(body) < NODE.size:
        raise AgentError("PROTOCOL", f"node: expected {NODE.size} bytes at least, got {len(body)}")
    kind, count = NODE.unpack_from(body)
    rest = NODE.size + count * REF.size
    if kind not in (dtf.LIST, dtf.INDEX) or count > limits.NODE_ENTRIES or rest > len(body):
        raise AgentError("PROTOCOL", f"node: expected a list or index that fits {len(body)} bytes, got kind {kind} of {count}")
    return kind, list(REF.iter_unpack(body[NODE.size : rest])), rest


def entries(body: bytes, refs: list, at: int) -> list:
    """[Entry] of a LIST that `parse` opened. Raises AgentError(PROTOCOL)."""
    out = []
    unpack, size = HEAD.unpack_from, HEAD.size
    try:
        for ref in refs:
            head = unpack(body, at)
            end = at + size + head[11] + head[12] + head[13]
            name = body[at + size : at + size + head[11]]
            if end > len(body) or bad_name(name) or head[0] > dtf.SOCKET:
                raise AgentError("PROTOCOL", f"node: bad entry {name[:80]!r} at byte {at}")
            out.append(Entry(ref, head, name, body[at:end]))
            at = end
    except struct.error:
        raise AgentError("PROTOCOL", f"node: expected an entry at byte {at} of {len(body)}") from None
    return out


def pack_extra(name: bytes, value: bytes) -> bytes:
    return dtf.EXTRA.pack(name, value)


def pack_entry(type_: int, flags: int, label: int, status, name: bytes, target: bytes, extras: bytes, size: int) -> bytes:
    """Bytes of an entry from a stat result."""
    return b"".join(
        (
            HEAD.pack(
                type_,
                flags,
                label,
                status.st_mode & 0o7777,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_dev,
                status.st_ino,
                size,
                len(name),
                len(target),
                len(extras),
            ),
            name,
            target,
            extras,
        )
    )


def node(kind: int, refs: list, parts: list) -> bytes:
    """Bytes of a node from packed refs and what belongs to each."""
    return b"".join((NODE.pack(kind, len(refs)), *refs, *parts))


def cut(slots: list, level: int = 0) -> list:
    """Lists of `slots` [(name, packed ref, packed entry or name)], cut by content where one node would be too large."""
    out, start, size = [], 0, 0
    for at, slot in enumerate(slots):
        count = at - start
        length = len(slot[2]) + REF.size
        marked = count >= _CUT_MIN and not zlib.crc32(slot[0]) >> 9 * level & _CUT_MASK
        if count and (marked or count >= _CUT_MAX or size + length > _CUT_BYTES):
            out.append(slots[start:at])
            start, size = at, 0
        size += length
    out.append(slots[start:])
    return out


def build(slots: list, emit) -> bytes:
    """Packed ref of the node that lists `slots` [(name, packed ref, packed entry)], by name in byte order.

    `emit(body)` gives the packed ref of a node, children come first.
    """
    level, kind = 0, dtf.LIST
    while True:
        parts = cut(slots, level)
        refs = [emit(node(kind, [slot[1] for slot in part], [slot[2] for slot in part])) for part in parts]
        if len(refs) == 1:
            return refs[0]
        slots = [(part[0][0], ref, _FIRST.pack(len(part[0][0])) + part[0][0]) for part, ref in zip(parts, refs, strict=True)]
        level, kind = level + 1, dtf.INDEX


class Tree:
    """Reads directories of existing views. `fetch(refs)` yields the bytes of nodes [(group, index)], None for a lost one."""

    def __init__(self, fetch):
        self._fetch = fetch

    def directories(self, refs: list) -> list:
        """[(parts, lost)] for directories `refs` [(group, index)], one batch for each level of index.

        parts: [(ref, body, [Entry])] of its LIST nodes in order; lost: how many of its nodes cannot be given.
        """
        parts = [[(ref, None)] for ref in refs]
        for _ in range(_INDEX_LEVELS):
            wanted = [ref for part in parts for ref, body in part if body is None]
            if not wanted:
                return [_listed(part) for part in parts]
            came = dict(zip(wanted, self._fetch(wanted), strict=True))
            parts = [[row for ref, body in part for row in _below(ref, body, came)] for part in parts]
        if any(body is None for part in parts for _, body in part):
            raise AgentError("PROTOCOL", f"node: expected at most {_INDEX_LEVELS} levels of index")
        return [_listed(part) for part in parts]

    def directory(self, ref: tuple) -> list:
        """[Entry] of the directory whose node is `ref` (group, index). Raises AgentError(LOST)."""
        [(parts, lost)] = self.directories([ref])
        if lost:
            raise AgentError("LOST", f"directory node {ref[0]}/{ref[1]} is lost")
        return [entry for _, _, listed in parts for entry in listed]


_LOST = b""


def _below(ref: tuple, body, came: dict) -> list:
    """[(ref, body or None)]: the node itself if it is a LIST, what it points to if an INDEX."""
    if body is not None:
        return [(ref, body)]
    body = came[ref]
    if body is None:
        return [(ref, _LOST)]
    kind, refs, _ = parse(body)
    return [(ref, body)] if kind == dtf.LIST else [((group, index), None) for _, group, index in refs]


def _listed(part: list) -> tuple:
    """(parts, lost) of one directory."""
    found = [(ref, body) for ref, body in part if body is not _LOST]
    return [(ref, body, entries(body, *parse(body)[1:])) for ref, body in found], len(part) - len(found)
