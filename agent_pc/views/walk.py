"""Walks the tree of a view: finds paths, and goes through everything below. Used by listing, find, diff, restore and the mount."""

import itertools
import os
from collections import OrderedDict

from agent_pc.exits import AgentError
from agent_pc.fdm.nodes import Entry, Tree, root
from firmware.formats import dtf, limits, pack

_BATCH = 256
_AHEAD_ENTRIES = 8192
_KEPT_BYTES = 16 << 20


class Nodes:
    """Nodes of one session's views; those read last are kept, so that no walk asks twice. `fetch` is what fdm.nodes.Tree wants."""

    def __init__(self, session, source: str):
        self._session = session
        self._source = source
        self._kept: OrderedDict = OrderedDict()
        self._bytes = 0

    def fetch(self, refs: list):
        missing = [ref for ref in dict.fromkeys(refs) if ref not in self._kept]
        came = dict(zip(missing, self._session.items(pack.NODES, missing, self._source), strict=True)) if missing else {}
        bodies = [came[ref] if ref in came else self._kept[ref] for ref in refs]
        for ref, body in came.items():
            if body is not None:
                self._kept[ref] = body
                self._bytes += len(body)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])
        return bodies


def open_tree(session, source: str) -> Tree:
    """The directories of all views of `session`."""
    return Tree(Nodes(session, source).fetch)


def components(path: bytes) -> tuple:
    """Names of an absolute or relative path; '.' and '..' are resolved as text."""
    return tuple(part for part in os.path.normpath(b"/" + path).split(b"/") if part)


def way(tree: Tree, top: Entry, names: tuple) -> list:
    """[Entry] of the components of `names` below the view's root, as far as they exist."""
    found = []
    entry = top
    for name in names:
        if not listable(entry):
            break
        below = next((row for row in tree.directory(entry.ref[1:]) if row.name == name), None)
        if below is None:
            break
        found.append(below)
        entry = below
    return found


def find(tree: Tree, top: Entry, names: tuple) -> Entry | None:
    """The entry at `names` below the view's root, None if there is none."""
    found = way(tree, top, names)
    return None if len(found) < len(names) else found[-1] if found else top


def tops(view) -> list:
    """Where its paths begin: the view's root, and that of the deleted files that it still offers."""
    attic = (dtf.NODE_REF, view.attic_group, view.attic_index)
    return [root(view)] + ([Entry(attic, root(view).head, b"", b"")] if view.attic_group else [])


def lookup(tree: Tree, view, path: bytes) -> tuple:
    """(names, Entry) of an absolute path in a view, as given or with this PC's links resolved; also of a deleted file that the view
    still offers. Raises AgentError(NOT_FOUND)."""
    absolute = os.path.abspath(path)
    for tried in dict.fromkeys((absolute, os.path.realpath(absolute))):
        names = components(tried)
        for top in tops(view):
            entry = find(tree, top, names)
            if entry is not None:
                return names, entry
    raise AgentError(
        "NOT_FOUND", f"{os.fsdecode(path)}: not in view {view.view}; `bobbin ls` shows what is, `bobbin find` looks in all"
    )


def listable(entry: Entry) -> bool:
    """Whether it is a directory with a node."""
    return entry.type == dtf.DIRECTORY and entry.ref[0] == dtf.NODE_REF


def below(tree: Tree, path: tuple, entry: Entry, lost):
    """Yield (path, Entry) of everything below a directory: a directory's entries, then each of its directories with all that is below.

    That is the order of a scan, so what is yielded lies one after the other at the appliance. `lost(path, text)` hears of damaged
    directories.
    """
    ahead = _Ahead(tree)
    waiting = [(path, entry.ref[1:])] if entry.ref[0] == dtf.NODE_REF else []
    while waiting:
        parent, ref = waiting[-1]
        rows, missing = ahead.take(ref, waiting)
        waiting.pop()
        if missing:
            lost(parent, "a part of the directory is lost")
        check_depth(parent)
        for row in rows:
            yield (*parent, row.name), row
        waiting.extend([((*parent, row.name), row.ref[1:]) for row in reversed(rows) if listable(row)])


class _Ahead:
    """Directories that are needed next, level by level in batches: a request for each would take a round trip each."""

    def __init__(self, tree: Tree):
        self._tree = tree
        self._ready: dict = {}  # ref -> ([Entry], lost nodes, [ref] of the directories among them, last first)
        self._entries = 0
        self._filling = False

    def take(self, ref: tuple, waiting: list) -> tuple:
        """([Entry], how many nodes are lost) of the directory `ref`, the last of `waiting` [(path, ref)]."""
        while ref not in self._ready or self._filling:
            wanted = list(itertools.islice(self._missing(waiting), _BATCH))
            for got, (parts, lost) in zip(wanted, self._tree.directories(wanted), strict=True):
                rows = [row for _, _, listed in parts for row in listed]
                self._ready[got] = rows, lost, [row.ref[1:] for row in reversed(rows) if listable(row)]
                self._entries += 1 + len(rows)
            self._filling = bool(wanted) and self._entries < _AHEAD_ENTRIES
        rows, lost, _ = self._ready.pop(ref)
        self._entries -= 1 + len(rows)
        return rows, lost

    def _missing(self, waiting: list):
        """Directories that are known of but not here, in the order in which they are needed."""
        stack = [ref for _, ref in waiting]
        seen: set = set()
        while stack:
            ref = stack.pop()
            if ref in seen:  # a tree from outside may lead into itself
                continue
            seen.add(ref)
            if ref in self._ready:
                stack.extend(self._ready[ref][2])
            else:
                yield ref


def check_depth(path: tuple) -> None:
    """Raises AgentError(PROTOCOL): a tree from outside may be without end."""
    if len(path) > limits.TREE_DEPTH:
        raise AgentError("PROTOCOL", f"tree: deeper than {limits.TREE_DEPTH} directories")


def at(tree: Tree, tops: list, names: tuple) -> list:
    """The entry at `names` below each of `tops` (None where there is none), one batch of nodes for each component."""
    found: list = list(tops)
    for name in names:
        refs = list({entry.ref[1:] for entry in found if entry is not None and listable(entry)})
        came = dict(zip(refs, tree.directories(refs), strict=True))
        found = [_named(came[entry.ref[1:]], name) if entry is not None and listable(entry) else None for entry in found]
    return found


def _named(directory: tuple, name: bytes) -> Entry | None:
    return next((row for _, _, listed in directory[0] for row in listed if row.name == name), None)
