"""What differs between two trees: `bobbin diff`, and how `bobbin find` goes through many views.

What both refer to is equal and never fetched: cost follows the change.
"""

import typing

from agent_pc.exits import AgentError
from agent_pc.fdm import nodes
from agent_pc.fdm.nodes import Entry
from agent_pc.views import walk
from firmware.formats import dtf

ADDED, REMOVED, CHANGED, METADATA = KINDS = ("added", "removed", "changed", "metadata")
_BATCH = 256
_LEVELS = 5  # of index nodes, and the lists below


class Change(typing.NamedTuple):
    """`old` or `new` is None where there is none. Both there: any byte of the two entries differs, maybe none that matters (`kind`)."""

    path: tuple
    old: Entry | None
    new: Entry | None

    @property
    def kind(self) -> str:
        """One of KINDS; "" if only numbers of the filesystem differ (ctime, inode, a directory's times)."""
        if self.old is None or self.new is None:
            return ADDED if self.old is None else REMOVED
        if _contents(self.old) != _contents(self.new):
            return CHANGED
        return METADATA if _metadata(self.old) != _metadata(self.new) else ""


def _contents(entry: Entry) -> tuple:
    ref = entry.ref if entry.type == dtf.REGULAR else None
    return entry.type, ref, 0 if entry.type == dtf.DIRECTORY else entry.size, entry.target


def _metadata(entry: Entry) -> tuple:
    return entry.mode, entry.uid, entry.gid, entry.type != dtf.DIRECTORY and entry.mtime_ns, entry.tail


def diff(fetch, path: tuple, old: Entry | None, new: Entry | None, lost):
    """Yield the Changes at `path` and below it. `fetch` as fdm.nodes.Tree's; `lost(path, text)` hears of damaged directories."""
    waiting = list(_pair(path, old, new))
    yield from (change for change, _ in waiting)
    waiting = [pair for _, pair in waiting if pair is not None]
    while waiting:
        batch, waiting = waiting[-_BATCH:], waiting[:-_BATCH]
        for (parent, _, _), (was, now, missing) in zip(batch, unshared(fetch, [pair[1:] for pair in batch]), strict=True):
            walk.check_depth(parent)
            if missing:
                lost(parent, "a part of the directory is lost")
            for name in sorted(was.keys() | now.keys()):
                for change, pair in _pair((*parent, name), was.get(name), now.get(name)):
                    yield change
                    if pair is not None:
                        waiting.append(pair)


def _pair(path: tuple, old: Entry | None, new: Entry | None):
    """Yield (Change, (path, old ref, new ref) to go into or None) unless the two are the same."""
    if old is new or (old is not None and new is not None and old.ref == new.ref and old.raw == new.raw):
        return
    refs = [entry.ref[1:] if entry is not None and walk.listable(entry) else None for entry in (old, new)]
    yield Change(path, old, new), (path, *refs) if refs[0] != refs[1] else None


def unshared(fetch, pairs: list) -> list:
    """[({name: Entry}, {name: Entry}, lost nodes)] of directories [(ref or None, ref or None)], without what both nodes hold."""
    sides = [[[(ref, None)] if ref else [] for ref in pair] for pair in pairs]
    for _ in range(_LEVELS + 1):
        sides = [_apart(*pair) for pair in sides]
        wanted = list(dict.fromkeys(ref for pair in sides for side in pair for ref, body in side if body is None))
        if not wanted:
            return [_entries(*pair) for pair in sides]
        came = dict(zip(wanted, fetch(wanted), strict=True))
        sides = [[_deeper(side, came) for side in pair] for pair in sides]
    raise AgentError("PROTOCOL", f"node: expected at most {_LEVELS - 1} levels of index")


def _apart(old: list, new: list) -> list:
    both = {ref for ref, _ in old} & {ref for ref, _ in new}
    return [[row for row in side if row[0] not in both] for side in (old, new)]


def _deeper(side: list, came: dict) -> list:
    """Nodes that were fetched: lists with their bytes, an index replaced by what it points to; b"" for one that is lost."""
    out: list = []
    for ref, body in side:
        if body is not None:
            out.append((ref, body))
            continue
        body = came[ref]
        if body is None:
            out.append((ref, b""))
            continue
        kind, refs, _ = nodes.parse(body)
        out.extend([(ref, body)] if kind == dtf.LIST else [((group, index), None) for _, group, index in refs])
    return out


def _entries(old: list, new: list) -> tuple:
    found = [
        {entry.name: entry for _, body in side if body for entry in nodes.entries(body, *nodes.parse(body)[1:])}
        for side in (old, new)
    ]
    return (*found, sum([not body for _, body in old + new]))
