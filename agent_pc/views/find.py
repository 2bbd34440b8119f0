"""Looks for names in one view or in all: `bobbin find`. Also what is deleted by now.

Views are gone through oldest first, each compared with the one before, so that a tree that stays costs nothing.
"""

import dataclasses
import fnmatch
import re

from agent_pc.fdm.nodes import TYPE_NAMES, Entry, root
from agent_pc.views import diff, walk
from firmware.formats import dtf


@dataclasses.dataclass
class Found:
    """One version of one path. `first`, `last`: views that have it; `versions`: how many there are of the path."""

    path: tuple
    entry: Entry
    first: int
    last: int
    deleted: bool = False
    versions: int = 1


class Filter:
    """`patterns`: shell patterns of names (of whole paths where they hold a slash), any of them; none: everything.

    Sizes in bytes, times in ns; None: no bound. `type_`: one of fdm.nodes.TYPE_NAMES or "".
    """

    def __init__(self, patterns: list, ignore_case=False, type_="", larger=None, smaller=None, newer=None, older=None):
        flags = re.IGNORECASE if ignore_case else 0
        # fnmatch translates text; latin-1 gives every byte a character of its own
        made = [
            (b"/" in pattern, re.compile(fnmatch.translate(pattern.decode("latin-1")).encode("latin-1"), flags))
            for pattern in patterns
        ]
        self._names = [pattern.match for whole, pattern in made if not whole]
        self._paths = [pattern.match for whole, pattern in made if whole]
        self._type = TYPE_NAMES.index(type_) if type_ else None
        self._sizes = larger, smaller
        self._times = newer, older

    def __call__(self, path: tuple, entry: Entry) -> bool:
        return bool(path) and self._named(path) and self._fits(entry)

    def _named(self, path: tuple) -> bool:
        if not self._names and not self._paths:
            return True
        whole = b"/" + b"/".join(path) if self._paths else b""
        return any(match(path[-1]) for match in self._names) or any(match(whole) for match in self._paths)

    def _fits(self, entry: Entry) -> bool:
        type_matches = self._type is None or entry.type == self._type
        return type_matches and _between(entry.size, *self._sizes) and _between(entry.mtime_ns, *self._times)


def _between(value: int, above, below) -> bool:
    return (above is None or value > above) and (below is None or value < below)


def in_view(tree, view, under: bytes, wanted: Filter, lost) -> list:
    """[Found] below a path of one view. Raises AgentError(NOT_FOUND)."""
    path, entry = walk.lookup(tree, view, under)
    found = [Found(path, entry, view.view, view.view)] if wanted(path, entry) else []
    below = walk.below(tree, path, entry, lost)
    return found + [Found(at, row, view.view, view.view) for at, row in below if wanted(at, row)]


def in_all(fetch, tree, views: list, starts: list, wanted: Filter, lost) -> list:
    """[Found]: every version of every path that matches, in all views. `starts`: [(source, names to look below)].

    A source that a view does not have was not part of that backup: what is below it is not deleted by that.
    """
    found: list = []
    tops = [root(view) for view in views]
    for source, start in starts:
        held = [top if above is not None else None for top, above in zip(tops, walk.at(tree, tops, source), strict=True)]
        entries = walk.at(tree, held, start)
        chain = [(view.view, entry) for view, top, entry in zip(views, held, entries, strict=True) if top is not None]
        found += _chain(fetch, start, chain, wanted, lost)
    return found


def in_attics(tree, views: list, under: tuple, wanted: Filter, lost) -> list:
    """[Found]: deleted files that views still offer although no view has them any more (firmware/formats/dtf.py)."""
    found: list = []
    for view in views:
        for attic in walk.tops(view)[1:]:
            leading = [attic, *walk.way(tree, attic, under)]
            if len(leading) > len(under):
                deleted: set = {under} if any(entry.flags & dtf.DELETED for entry in leading) else set()
                for path, row in walk.below(tree, under, leading[-1], lost):
                    if row.flags & dtf.DELETED or path[:-1] in deleted:
                        deleted.add(path)
                        if wanted(path, row):
                            found.append(Found(path, row, view.view, view.view, deleted=True))
    return found


def _chain(fetch, start: tuple, chain: list, wanted: Filter, lost) -> list:
    ended: list = []
    alive: dict = {}
    before, last = None, 0
    for number, entry in chain:
        for change in diff.diff(fetch, start, before, entry, lost):
            held = alive.get(change.path)
            if held is not None and change.kind == "":
                held.entry = change.new
                continue
            if held is not None:
                held.last = last
                ended.append(alive.pop(change.path))
            if change.new is not None and wanted(change.path, change.new):
                alive[change.path] = Found(change.path, change.new, number, number)
        before, last = entry, number
    for held in alive.values():
        held.last = last
    for held in ended:
        held.deleted = held.path not in alive
    return ended + list(alive.values())


def newest(found: list) -> list:
    """One Found for each path: its newest version, with the number of them, by path."""
    by_path: dict = {}
    for row in sorted(found, key=lambda row: row.last):
        row.versions = by_path[row.path].versions + 1 if row.path in by_path else 1
        by_path[row.path] = row
    return [by_path[path] for path in sorted(by_path)]


def roots(sources: list, under: tuple) -> list:
    """[(source, names to look below)] for what was once backed up (bytes) within `under`; no source within another."""
    known = sorted({walk.components(source) for source in sources})
    outer = [names for names in known if not any(names != other and names[: len(other)] == other for other in known)]
    around = [names for names in outer if under[: len(names)] == names]
    if around:
        return [(around[0], under)]
    return [(names, names) for names in outer if names[: len(under)] == under] or [((), under)]
