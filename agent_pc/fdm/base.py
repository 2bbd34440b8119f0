"""Finds what to compare with: the directories of earlier views that hold the sources. Called by agent_pc/backup.py."""

from agent_pc.cache import Cache
from agent_pc.exits import AgentError
from agent_pc.fdm.nodes import Entry, Tree, root
from firmware.formats import dtf

_BACK = 8  # views looked through for a source that the last one does not hold
_FILL = 256


def find(session, cache: Cache, tree: Tree, sources: list) -> dict:
    """{path: old Entry} of every source and of the directories on the way to it. Empty for a client without views."""
    _, views = session.views()
    if not views:
        return {}
    last = views[-1]
    if cache.node((last.root_group, last.root_index)) is None:
        _fill(tree, root(last))
    by_number = {view.view: view for view in views}
    found: dict = {}
    for source in sources:
        way = _way(tree, root(last), source)
        for path, entry in way.items():
            found.setdefault(path, entry)
        if source in way:
            continue
        known = by_number.get(cache.view_of(source))
        for view in [known] if known else views[-2 : -2 - _BACK : -1]:
            entry = _way(tree, root(view), source).get(source)
            if entry is not None:
                found[source] = entry
                break
    return found


def _way(tree: Tree, top: Entry, path: bytes) -> dict:
    """{path: Entry} of "/" and each component down to `path`, as far as they exist."""
    found = {b"/": top}
    at = b""
    entry: Entry | None = top
    for name in [part for part in path.split(b"/") if part]:
        if entry is None or entry.type != dtf.DIRECTORY or entry.ref[0] != dtf.NODE_REF:
            break
        try:
            listed = tree.directory(entry.ref[1:])
        except AgentError:
            break  # a damaged directory is sent again
        entry = next((row for row in listed if row.name == name), None)
        if entry is None:
            break
        at += b"/" + name
        found[at] = entry
    return found


def _fill(tree: Tree, top: Entry) -> None:
    """The cache was lost: bring the nodes of the view, hundreds at a time."""
    waiting = [top.ref[1:]]
    seen = set(waiting)
    while waiting:
        batch = waiting[-_FILL:]
        del waiting[-_FILL:]
        rows = [row for parts, _ in tree.directories(batch) for _, _, listed in parts for row in listed]
        below = {row.ref[1:] for row in rows if row.type == dtf.DIRECTORY and row.ref[0] == dtf.NODE_REF} - seen
        seen |= below
        waiting.extend(sorted(below))
