"""Walks the tree of a view: finds paths, lists, and goes through everything below. Used by restore and agent_pc/listing.py."""

import os

from agent_pc.exits import AgentError
from agent_pc.fdm.nodes import Entry, Tree
from firmware.formats import dtf, limits

_BATCH = 256


def components(path: bytes) -> tuple:
    """Names of an absolute or relative path; '.' and '..' are resolved as text."""
    return tuple(part for part in os.path.normpath(b"/" + path).split(b"/") if part)


def find(tree: Tree, top: Entry, names: tuple) -> Entry | None:
    """The entry at `names` below the view's root, None if there is none."""
    entry: Entry | None = top
    for name in names:
        if entry is None or entry.type != dtf.DIRECTORY or entry.ref[0] != dtf.NODE_REF:
            return None
        entry = next((row for row in tree.directory(entry.ref[1:]) if row.name == name), None)
    return entry


def on_the_way(tree: Tree, top: Entry, names: tuple) -> list:
    """[(path, Entry)] of the directories above `names`, outermost first, without the root."""
    out = []
    for depth in range(1, len(names)):
        entry = find(tree, top, names[:depth])
        if entry is None:
            break
        out.append((names[:depth], entry))
    return out


def below(tree: Tree, path: tuple, entry: Entry, lost):
    """Yield (path, Entry) of everything below a directory, parents first. `lost(path, text)` hears of damaged directories."""
    waiting = [(path, entry.ref[1:])] if entry.ref[0] == dtf.NODE_REF else []
    while waiting:
        batch, waiting = waiting[-_BATCH:], waiting[:-_BATCH]
        found = tree.directories([ref for _, ref in batch])
        for (parent, _), (parts, missing) in zip(batch, found, strict=True):
            if missing:
                lost(parent, "a part of the directory is lost")
            if len(parent) > limits.TREE_DEPTH:
                raise AgentError("PROTOCOL", f"tree: deeper than {limits.TREE_DEPTH} directories")
            for _, _, listed in parts:
                for row in listed:
                    yield (*parent, row.name), row
                    if row.type == dtf.DIRECTORY and row.ref[0] == dtf.NODE_REF:
                        waiting.append(((*parent, row.name), row.ref[1:]))
