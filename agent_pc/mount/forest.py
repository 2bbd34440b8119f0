"""The directories of all views, found by path: what the mount shows. Entries are those of fdm.nodes.

Directories that lie beside the one asked for come with it, so that a walk costs one request for each level and not one a directory.
"""

import functools
import hashlib
import threading
import time

from agent_pc.exits import AgentError
from agent_pc.fdm.nodes import Entry, Tree, root
from agent_pc.mount.shelf import Shelf
from agent_pc.views import choose, walk
from firmware.formats import dtf, pack

DELETED = b"_deleted"  # ends the name of a directory with the deleted files that a view still offers
_ENTRIES = 65536  # kept; an entry takes about 1 kB
_BESIDE = 256
_FRESH_S = 1  # the list of views is asked for at most so often


class Directory:
    """`entries` [Entry] by name in byte order; `positions` {name: index in entries}."""

    def __init__(self, entries: list, lost: int):
        self.entries = entries
        self.positions = {entry.name: at for at, entry in enumerate(entries)}
        self.lost = lost

    def get(self, name: bytes) -> Entry | None:
        at = self.positions.get(name)
        return None if at is None else self.entries[at]


class Place:
    """What a path is: `view` (wire.VIEW), `entry`; `parent`: the Directory that lists it, and `above`: its Place (None at a view's top)."""

    __slots__ = ("above", "entry", "parent", "view")

    def __init__(self, view, entry: Entry, parent: Directory | None = None, above: "Place | None" = None):
        self.view = view
        self.entry = entry
        self.parent = parent
        self.above = above

    @property
    def inode(self) -> int:
        """The same for all names of a file; in a directory it rises with the name, so that programs that sort by it read in order."""
        entry = self.entry
        if self.parent is None or self.above is None:
            return _number(self.view.view, *entry.ref) << 20
        if entry.flags & dtf.HARD_LINK:
            return _number(self.view.view, entry.device, entry.inode) | 1 << 62
        return (_number(self.view.view, *self.above.entry.ref) << 20) + self.parent.positions[entry.name] + 1


@functools.lru_cache(8192)
def _number(*parts: int) -> int:
    """Of 42 bits."""
    packed = b"".join([part.to_bytes(8, "little") for part in parts])
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 22


class Forest:
    """`link`: mount.link.Link; `log(text)` hears of damage."""

    def __init__(self, link, log):
        self._link = link
        self._log = log
        self._directories = Shelf(_ENTRIES, lambda directory: 1 + len(directory.entries), self._fetch)
        self._lock = threading.Lock()
        self._asked_s = float("-inf")
        self._views: dict = {}  # name -> wire.VIEW
        self._names: dict = {}
        self._latest = b""

    # -- views

    def views(self) -> dict:
        """{name: wire.VIEW} of now; deleted files that are still offered as a view beside. Raises AgentError, Refusal."""
        with self._lock:
            if time.monotonic() - self._asked_s > _FRESH_S:
                _, rows = self._link.run(lambda session: session.views())
                self._names = choose.names(rows, self._names)
                self._views = {self._names[row.view].encode(): row for row in rows}
                last = max(rows, key=lambda row: (row.time_ns, row.view), default=None)
                self._latest = self._names[last.view].encode() if last is not None else b""
                for name, row in list(self._views.items()):
                    if row.attic_group:
                        attic = {"root_group": row.attic_group, "root_index": row.attic_index}
                        self._views[name + DELETED] = row._replace(**attic)
                self._asked_s = time.monotonic()
            return self._views

    def view(self, name: bytes):
        """The wire.VIEW called `name`, None if there is none."""
        return self._views.get(name) or self.views().get(name)

    def latest(self) -> bytes:
        """Name of the last view, b"" if there is none."""
        self.views()
        return self._latest

    # -- paths

    def place(self, view, names: list) -> Place | None:
        """What lies at `names` in a view. Raises AgentError, Refusal."""
        found: Place | None = Place(view, root(view))
        for name in names:
            found = self.child(found, name) if found is not None else None
        return found

    def child(self, place: Place, name: bytes) -> Place | None:
        """What is called `name` in the directory at `place`. Raises AgentError, Refusal."""
        if not walk.listable(place.entry):
            return None
        parent = self.listing(place)
        entry = parent.get(name)
        if entry is None:
            self._whole(parent)
            return None
        return Place(place.view, entry, parent, place)

    def _whole(self, directory: Directory) -> None:
        if directory.lost:
            raise AgentError("LOST", "a part of the directory is lost")

    def listing(self, place: Place) -> Directory:
        """The directory at `place`, with those beside it."""
        ref = place.entry.ref[1:]
        held = self._directories.look(ref)
        return held if held is not None else self._directories.take(ref, _following(place.parent, place.entry.name))

    def after(self, place: Place):
        """Yield the Places of what follows in the order of a walk, as far as the directories are here."""
        at = place
        while at.parent is not None and at.above is not None:
            yield from self._inside(at.above, at.parent, at.parent.positions[at.entry.name] + 1)
            at = at.above

    def _inside(self, above: Place, directory: Directory, first: int):
        for entry in directory.entries[first:]:
            place = Place(above.view, entry, directory, above)
            yield place
            held = self._directories.look(entry.ref[1:]) if walk.listable(entry) else None
            if held is not None:
                yield from self._inside(place, held, 0)

    def ahead(self, directory: Directory) -> None:
        """Bring the directories in `directory`: it was listed, so they are likely to be next."""
        self._directories.bring([entry.ref[1:] for entry in directory.entries if walk.listable(entry)][:_BESIDE])

    def _fetch(self, refs: list) -> dict:
        def work(session):
            return Tree(lambda wanted: session.items(pack.NODES, wanted)).directories(refs)

        found = {}
        for ref, (parts, lost) in zip(refs, self._link.run(work), strict=True):
            if lost:
                self._log(f"directory node {ref[0]}/{ref[1]}: {lost} of its nodes are lost")
            found[ref] = Directory([entry for _, _, listed in parts for entry in listed], lost)
        return found


def _following(parent: Directory | None, name: bytes) -> list:
    if parent is None:
        return []
    at = parent.positions[name] + 1
    return [entry.ref[1:] for entry in parent.entries[at : at + _BESIDE] if walk.listable(entry)]
