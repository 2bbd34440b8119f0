"""Gives the appliance back what is damaged there and still whole here. Called after a backup whose COMMITTED asks for it.

Chunks are read from files that have not changed since they were backed up; nodes and file objects come from the cache. The appliance
checks every item by its hash, so nothing sent here can do harm.
"""

import os
import stat
from typing import Any

from agent_pc import packs
from agent_pc.bdm import librsync
from agent_pc.cache import Cache, NodeSource
from agent_pc.exits import AgentError, Cut
from agent_pc.fdm import nodes
from agent_pc.fdm.nodes import Tree
from agent_pc.views import walk
from firmware.formats import dtf, limits, message, pack
from firmware.formats.refusal import Refusal


def heal(session, cache: Cache) -> int:
    """Packs that the appliance could make whole; 0 also if something went wrong: the backup before it is done."""
    try:
        wants: list[Any] = [message.WANT.tuple(*row) for row in session.heal_wanted()]
        paths = _paths(session, cache, {(want.file_group, want.file_index) for want in wants if want.kind == pack.DATA})
        for run in _runs(wants, paths, cache):
            session.heal_pack(_pack(run))
        return session.heal_end()
    except (Refusal, Cut, AgentError, OSError):
        return 0


def _paths(session, cache: Cache, refs: set) -> dict:
    """{(group, index): path} of file objects of the newest view whose files are as they were."""
    found: dict = {}
    _, views = session.views() if refs else ("", [])
    if not views:
        return found
    tree = Tree(NodeSource(cache, session.items).fetch)
    for names, entry in walk.below(tree, (), nodes.root(views[-1]), lambda path, text: None):
        ref = entry.ref[1:]
        if entry.type == dtf.REGULAR and entry.ref[0] == dtf.FILE and ref in refs and ref not in found:
            path = b"/" + b"/".join(names)
            if _same(path, entry):
                found[ref] = path
                if len(found) == len(refs):
                    break
    return found


def _same(path: bytes, entry) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == entry.size and status.st_mtime_ns == entry.mtime_ns


def _runs(wants: list, paths: dict, cache: Cache):
    """Yield [(want, bytes)] of items that follow each other and fit one pack."""
    run: list = []
    size = 0
    for want in wants:
        item = _item(want, paths, cache)
        follows = run and (want.kind, want.group, want.index) == (run[-1][0].kind, run[-1][0].group, run[-1][0].index + 1)
        full = len(run) == limits.PACK_ITEMS or (item is not None and size + len(item) > limits.PACK_RAW_BYTES)
        if run and (item is None or not follows or full):
            yield run
            run, size = [], 0
        if item is not None:
            run.append((want, item))
            size += len(item)
    if run:
        yield run


def _item(want, paths: dict, cache: Cache) -> bytes | None:
    """Bytes of a wanted item, None if they are not here."""
    if want.kind == pack.NODES:
        return cache.node((want.group, want.index))
    if want.kind == pack.FILES:
        held = cache.file((want.group, want.index))
        return held[0] if held else None
    path = paths.get((want.file_group, want.file_index))
    if path is None or want.length > limits.ITEM_BYTES:
        return None
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(want.offset)
            item = file.read(want.length)
    except OSError:
        return None
    return item if len(item) == want.length else None


def _pack(run: list) -> bytes:
    first = run[0][0]
    items = [item for _, item in run]
    sums = [librsync.sums(item, len(item)) for item in items]
    return packs.build(first.kind, first.group, first.index, sums, items)
