"""Recognises a directory that looks as it did when its node was made: then neither the node is parsed nor an entry compared.

One digest over the listing (every name with its whole stat but the time of access) is kept in the cache beside the node, with what the
scan needs of the node: its directories, and what it counts. It is kept only where each entry of the node has exactly the times, inode,
size, device and type of the listing; a time that cannot be trusted (afm.plain.dated) is not one of these. So what is recognised is what
the comparison would have called unchanged. Used by fdm.scan to recognise, by fdm.scan and dtm.assembly to keep.
"""

import hashlib
import marshal
import operator
import os
import stat
import struct

from agent_pc import VERSION
from agent_pc.fdm import nodes
from agent_pc.fdm.task import Directory, size_of, unchanged
from firmware.formats import dtf

_NAME = operator.attrgetter("name")
_STAT = operator.methodcaller("stat", follow_symlinks=False)
FIELDS = (
    "st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_rdev",
)  # fmt: skip
_FIELDS = operator.attrgetter(*FIELDS)
_MARSHAL = 2  # of the versions of marshal the last that gives the same bytes for equal values

# digest; files, their bytes, others; further nodes, bytes of what is left out. Then these nodes, that, and a LIST of the directories
_HEAD = struct.Struct("<16sQQIII")
_PART = struct.Struct("<II")
_FOLDER, _OTHER = "d", "f"  # before a name that is left out


class Seen:
    """A listing that was compared: `entries` (os.DirEntry by name, in byte order) and `out`, marks of what is left out."""

    __slots__ = ("entries", "out")

    def __init__(self, entries: list, out: list):
        self.entries = entries
        self.out = out


class Found:
    """A directory that was recognised. `entries`: all that is listed; `statuses` {name: stat} if there are `children` [Entry];
    `tally`: files, their bytes, others; `excluded`: names that are left out."""

    __slots__ = ("children", "entries", "excluded", "statuses", "tally")

    def __init__(self, entries: list, children: list, statuses: dict, tally: tuple, excluded: int):
        self.entries = entries
        self.children = children
        self.statuses = statuses
        self.tally = tally
        self.excluded = excluded


def mark(entry: os.DirEntry) -> str:
    """Name and kind of what is left out: patterns look at nothing else."""
    return (_FOLDER if entry.is_dir(follow_symlinks=False) else _OTHER) + entry.name


class Known:
    """`cache`: agent_pc.cache.Cache. `context`: all that decides what is backed up of a directory besides what is in it."""

    def __init__(self, cache, context: tuple):
        self._cache = cache
        self._key = hashlib.blake2b(
            repr((VERSION, FIELDS, context)).encode("utf-8", "surrogateescape"), digest_size=32
        ).digest()

    def find(self, directory: Directory, entries: list) -> Found | None:
        """Whether `directory`, which lists `entries`, is as its old node says. Its handle must still be open."""
        entry = directory.entry
        body = self._cache.listing(entry.ref[1:]) if entry is not None and entry.ref[0] == dtf.NODE_REF else None
        if body is None:
            return None
        digest, *tally, more, out_bytes = _HEAD.unpack_from(body)
        at = _HEAD.size + more * _PART.size
        kept = _without(entries, body[at : at + out_bytes]) if out_bytes else entries
        names = list(map(_NAME, kept))
        try:
            statuses = list(map(_STAT, kept))
        except OSError:
            return None  # it vanished
        if self._digest(directory.path, names, statuses) != digest:
            return None
        if more:
            self._cache.use(_PART.iter_unpack(body[_HEAD.size : at]))
        children = _children(body[at + out_bytes :])
        known = dict(zip(names, statuses, strict=True)) if children else {}
        return Found(entries, children, known, tuple(tally), len(entries) - len(kept))

    def keep(self, directory: Directory, slots: list, parts: list) -> None:
        """Remember how a finished directory looked, if its node says the same. `slots` [(name, packed ref, packed entry)] in byte order;
        `parts`: packed refs of its nodes."""
        seen = directory.seen
        directory.seen = None
        if seen is None or len(slots) != len(seen.entries) or (seen.out and not slots):
            return
        statuses = list(map(_STAT, seen.entries))  # they were asked for before
        files, size, others, below = 0, 0, 0, []
        for slot, entry, status in zip(slots, seen.entries, statuses, strict=True):
            head = nodes.HEAD.unpack_from(slot[2])
            if slot[0] != os.fsencode(entry.name) or not _says(head, status):
                return
            if head[0] == dtf.DIRECTORY:
                below.append(slot)
            elif head[0] == dtf.REGULAR:
                files, size = files + 1, size + head[10]
            else:
                others += 1
        digest = self._digest(directory.path, map(_NAME, seen.entries), statuses)
        further = [nodes.REF.unpack(part)[1:] for part in parts if part != directory.ref]
        out = "\0".join(seen.out).encode("utf-8", "surrogateescape")
        row = _HEAD.pack(digest, files, size, others, len(further), len(out))
        listed = nodes.node(dtf.LIST, [slot[1] for slot in below], [slot[2] for slot in below]) if below else b""
        self._cache.add_listing(
            nodes.REF.unpack(directory.ref)[1:], b"".join((row, *[_PART.pack(*ref) for ref in further], out, listed))
        )

    def _digest(self, path: bytes, names, statuses) -> bytes:
        """All empty directories of a backup share a node: there the path does not count."""
        rows = sorted(zip(names, map(_FIELDS, statuses), strict=True))
        data = marshal.dumps((path if rows else b"", rows), _MARSHAL)
        return hashlib.blake2b(data, digest_size=16, key=self._key).digest()


def _without(entries: list, out: bytes) -> list:
    """`entries` without what was left out before. Nothing is asked about these: there may be no answer."""
    marks = set(out.decode("utf-8", "surrogateescape").split("\0"))
    return [entry for entry in entries if mark(entry) not in marks]


def _children(body: bytes) -> list:
    return nodes.entries(body, *nodes.parse(body)[1:]) if body else []


def _says(head: tuple, status) -> bool:
    """Whether fields of an entry are what the listing shows."""
    type_ = nodes.TYPES.get(stat.S_IFMT(status.st_mode))
    return head[0] == type_ and not head[1] & dtf.TRUNCATED and unchanged(head, status, size_of(type_, status))
