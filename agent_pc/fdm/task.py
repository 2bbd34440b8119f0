"""What the scan finds and the packer finishes: files whose contents are needed, hard links to them, directories. Made by fdm.scan."""

import contextlib
import struct
import zlib
from typing import Any

from agent_pc.afm.guard import Frozen
from agent_pc.afm.sources import Sources
from agent_pc.bdm.old import Old
from agent_pc.fdm import nodes
from firmware.formats import dtf, rfe

_KEY = struct.Struct(rfe.KEY.code)
_DEVICES = (dtf.CHARACTER, dtf.BLOCK)


def crc(name: bytes, size: int, mtime_ns: int) -> int:
    """The CRC that nominates (rfe.KEY)."""
    return zlib.crc32(_KEY.pack(size, mtime_ns) + name)


class Task:
    """A regular file whose contents are not known to be held. `entry`: its Entry in the old tree or None; `old`: bdm.old.Old.

    `frozen`: its contents, if the active file manager holds them (afm.guard.Frozen); `group`: it is one of an afm group.
    """

    __slots__ = ("entry", "extras", "found", "frozen", "group", "name", "old", "path", "ref", "slot", "status", "untouched")

    def __init__(self, path: bytes, name: bytes, status, entry, extras: bytes):
        self.path = path
        self.name = name
        self.status = status
        self.entry = entry
        self.extras = extras
        self.old: Old | None = None
        self.found = "new"  # what it turned out to be: a field of counts.Counts
        self.ref: tuple | None = None  # (group, index) once known
        self.slot: tuple | None = None  # what goes into the directory once known; () if it cannot be backed up
        self.frozen: Frozen | None = None
        self.group: Any = None
        self.renew(status)

    def renew(self, status) -> None:
        """Its stat of now."""
        entry = self.entry
        self.status = status
        self.untouched = entry is not None and (entry.mtime_ns, entry.size, entry.inode) == (
            status.st_mtime_ns,
            status.st_size,
            status.st_ino,
        )

    @property
    def modified(self) -> bool:
        return self.entry is not None and self.entry.ref[0] == dtf.FILE

    def crc(self) -> int:
        return crc(self.name, self.status.st_size, self.status.st_mtime_ns)

    @contextlib.contextmanager
    def contents(self, sources: Sources):
        """afm Frozen, for a look at it. Raises OSError."""
        frozen = self.frozen or sources.open(self.path, self.status)
        try:
            yield frozen
        finally:
            if frozen is not self.frozen:
                frozen.close()

    def thaw(self) -> None:
        if self.frozen is not None:
            self.frozen.close()
            self.frozen = None

    def finish(self, ref: tuple | None, status, size: int, flags: int, label: int) -> None:
        """Contents are held as `ref`."""
        self.ref = ref
        self.status = status
        label = self.group.label(label) if self.group is not None else label
        self.slot = self._slot(self.name, self.extras, ref, status, size, flags, label)
        self.thaw()

    def link(self, name: bytes, extras: bytes) -> tuple:
        """Slot of another name of the same file."""
        assert self.slot
        head = nodes.HEAD.unpack_from(self.slot[2])
        return self._slot(name, extras, self.ref, self.status, head[10], head[1], head[2])

    def _slot(self, name: bytes, extras: bytes, ref: tuple | None, status, size: int, flags: int, label: int) -> tuple:
        flags |= dtf.HARD_LINK if status.st_nlink > 1 else 0
        packed = nodes.NO_REF if ref is None else nodes.REF.pack(dtf.FILE, *ref)
        return name, packed, nodes.pack_entry(dtf.REGULAR, flags, label, status, name, b"", extras, size)

    def keep(self) -> bool:
        """It cannot be read now: the old version stays in the tree, if there is one."""
        self.slot = ()
        self.thaw()
        if self.entry is not None and self.entry.type == dtf.REGULAR:
            self.ref = self.entry.ref[1:]
            self.slot = (self.name, nodes.REF.pack(*self.entry.ref), self.entry.raw)
        return bool(self.slot)


class Link:
    """Another name of the file of `first`, a Task that comes before it."""

    __slots__ = ("extras", "first", "name")

    def __init__(self, first: Task, name: bytes, extras: bytes):
        self.first = first
        self.name = name
        self.extras = extras

    @property
    def slot(self) -> tuple:
        return self.first.link(self.name, self.extras) if self.first.slot else ()


class Directory:
    """A directory being listed. `rows`: slots, Tasks, Links and Directories by name; `same`: nothing in it differs from `entry`;
    `kept`: nor does its own entry, which needs no `extras` then; `stirred`: something below it may. `found` (fdm.known.Found): how it was recognised; `seen` (fdm.known.Seen): how it looked."""

    __slots__ = (
        "digests",
        "entry",
        "extras",
        "found",
        "kept",
        "name",
        "path",
        "ref",
        "rows",
        "same",
        "seen",
        "slot",
        "status",
        "stirred",
    )

    def __init__(self, path: bytes, name: bytes, status, entry, extras: bytes, kept: bool = False):
        self.path = path
        self.name = name
        self.status = status
        self.entry = entry
        self.extras = extras
        self.kept = kept
        self.rows: list = []
        self.digests: dict = {}  # digest of a LIST node of the old directory -> its packed ref
        self.same = False
        self.stirred = False
        self.found: Any = None
        self.seen: Any = None
        self.ref: bytes = b""  # packed, once known
        self.slot: tuple = ()

    def finish(self, emit) -> list:
        """Everything below is known: make the node, unless the old one says the same. `emit(body)` gives a new node's packed ref.
        Gives what it lists: [(name, packed ref, packed entry)]."""
        slots = self._slots()
        if self.same and all(_kept(row) for row in self.rows):
            self.ref = nodes.REF.pack(*self.entry.ref)
        else:
            self.ref = nodes.build(slots, emit)
        self.slot = self._slot()
        self.rows = []
        return slots

    def settle(self) -> list:
        """Nothing in or below it is new: its node is the old one. Gives the same as `finish`."""
        slots = self._slots()
        self.ref = nodes.REF.pack(*self.entry.ref)
        self.slot = self._slot()
        self.rows = []
        return slots

    def _slots(self) -> list:
        slots = [row if type(row) is tuple else row.slot for row in self.rows]
        return [slot for slot in slots if slot]

    def _slot(self) -> tuple:
        if self.kept:
            return self.name, self.ref, self.entry.raw
        raw = nodes.pack_entry(dtf.DIRECTORY, 0, dtf.UNGUARDED, self.status, self.name, b"", self.extras, 0)
        return self.name, self.ref, raw


def size_of(type_: int | None, status) -> int:
    """What an entry of this type says as its size."""
    return status.st_size if type_ == dtf.REGULAR else status.st_rdev if type_ in _DEVICES else 0


def unchanged(head: tuple, status, size: int) -> bool:
    """Whether an old entry's stat is today's: then its contents, mode, owner and attributes are too."""
    return (
        head[7] == status.st_ctime_ns
        and head[6] == status.st_mtime_ns
        and head[9] == status.st_ino
        and head[10] == size
        and head[8] == status.st_dev
    )


def _kept(row) -> bool:
    """Whether a row is what the old directory already said; tuples are only made equal by the scan."""
    if type(row) is tuple:
        return True
    if type(row) is Directory:
        entry = row.entry
        return entry is not None and row.slot[2] is entry.raw and row.ref == nodes.REF.pack(*entry.ref)
    return False
