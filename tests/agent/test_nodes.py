"""fdm.nodes: directories of any size as nodes, and back; what is not a node is refused."""

import os
import random

import pytest

from agent_pc.exits import AgentError
from agent_pc.fdm import nodes
from agent_pc.fdm.task import crc
from agent_pc.views import walk
from firmware.formats import dtf, limits, rfe


class Status:
    st_mode, st_uid, st_gid, st_mtime_ns, st_ctime_ns, st_dev, st_ino = 0o100644, 1, 2, -5, 6, 7, 8


def _slot(name: bytes, extras: bytes = b""):
    raw = nodes.pack_entry(dtf.REGULAR, 0, 0, Status, name, b"", extras, 9)
    return name, nodes.REF.pack(dtf.FILE, 3, len(name)), raw


class Held:
    def __init__(self):
        self.bodies = []

    def emit(self, body: bytes) -> bytes:
        assert len(body) <= limits.ITEM_BYTES
        for ref in nodes.parse(body)[1]:
            assert ref[0] != dtf.NODE_REF or ref[2] < len(self.bodies)  # children first
        self.bodies.append(body)
        return nodes.REF.pack(dtf.NODE_REF, 1, len(self.bodies) - 1)

    def fetch(self, refs):
        return [self.bodies[index] for _, index in refs]


def _round(names: list, extras: bytes = b""):
    held = Held()
    slots = [_slot(name, extras) for name in sorted(names)]
    ref = nodes.REF.unpack(nodes.build(slots, held.emit))
    listed = nodes.Tree(held.fetch).directory(ref[1:])
    assert [(entry.name, entry.raw) for entry in listed] == [(slot[0], slot[2]) for slot in slots]
    return held


@pytest.mark.parametrize("count", [0, 1, 255, 256, 4095, 4096, 30_000])
def test_any_directory_comes_back(count):
    held = _round([b"file %d" % number for number in range(count)])
    assert all(nodes.NODE.unpack_from(body)[1] <= limits.NODE_ENTRIES for body in held.bodies)
    assert count < 4096 or len(held.bodies) > 3


def test_long_names_and_large_extras():
    extras = nodes.pack_extra(b"user.big", os.urandom(60_000))
    _round([bytes([65 + number % 26]) * 4000 + b"%d" % number for number in range(300)])
    _round([b"%d" % number for number in range(100)], extras * 8)


def test_one_more_name_changes_few_nodes():
    names = [b"name %06d" % number for number in range(20_000)]
    before, after = _round(names), _round([*names, b"name 010000a"])
    assert len(set(after.bodies) - set(before.bodies)) <= 3 < len(before.bodies)


def test_fields_and_extras():
    extras = nodes.pack_extra(b"user.a", b"1") + nodes.pack_extra(b"bobbin.user", b"root")
    held = Held()
    raw = nodes.pack_entry(dtf.SYMLINK, 0, 2, Status, b"\xff\xfe", b"target", extras, 0)
    ref = nodes.REF.unpack(nodes.build([(b"\xff\xfe", nodes.NO_REF, raw)], held.emit))
    [entry] = nodes.Tree(held.fetch).directory(ref[1:])
    assert (entry.type, entry.label, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.inode) == (
        2,
        2,
        0o644,
        1,
        2,
        -5,
        8,
    )
    assert entry.target == b"target" and dict(entry.extras()) == {b"user.a": b"1", b"bobbin.user": b"root"}


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0b"])
def test_hostile_names_are_refused(name):
    body = nodes.node(dtf.LIST, [nodes.NO_REF], [_slot(name)[2]])
    with pytest.raises(AgentError):
        nodes.Tree(lambda refs: [body]).directory((1, 0))


def test_garbled_nodes_raise_and_nothing_else():
    held = _round([b"file %d" % number for number in range(50)])
    body, seed = held.bodies[0], random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(3000):
        garbled = bytearray(body[: rng.randrange(len(body) + 1)])
        for _ in range(rng.randrange(3)):
            if garbled:
                garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        try:
            for entry in nodes.Tree(lambda refs, made=bytes(garbled): [made] * len(refs)).directory((1, 0)):
                entry.extras()
        except AgentError:
            pass


def test_index_that_points_to_itself_ends():
    body = nodes.node(dtf.INDEX, [nodes.REF.pack(dtf.NODE_REF, 1, 0)], [b"\1\0a"])
    with pytest.raises(AgentError):
        nodes.Tree(lambda refs: [body] * len(refs)).directory((1, 0))


def test_crc_is_of_name_size_and_time():
    import zlib

    assert crc(b"name", 5, 6) == zlib.crc32(rfe.KEY.pack(5, 6) + b"name")


def _tree(held: Held, depth: int, width: int, name: bytes = b"") -> bytes:
    """Packed ref of a directory with two files and `width` directories, `depth` levels of them."""
    slots = [_slot(b"a"), _slot(b"z")]
    for number in range(width if depth else 0):
        child = b"%d" % number
        slots.append(
            (child, _tree(held, depth - 1, width, child), nodes.pack_entry(dtf.DIRECTORY, 0, 0, Status, child, b"", b"", 0))
        )
    return nodes.build(sorted(slots), held.emit)


def _walked(held: Held, top: bytes) -> tuple:
    asked: list = []

    def fetch(refs):
        asked.append(len(refs))
        return held.fetch(refs)

    entry = nodes.Entry(nodes.REF.unpack(top), nodes.HEAD.unpack(bytes(nodes.HEAD.size)), b"", b"")
    return list(walk.below(nodes.Tree(fetch), (), entry, None)), asked


def test_walk_is_in_the_order_of_a_scan_and_asks_level_by_level():
    held = Held()
    found, asked = _walked(held, _tree(held, 5, 4))
    directories = [path for path, entry in found if entry.type == dtf.DIRECTORY]
    assert len(found) == 2 * (len(directories) + 1) + len(directories) and sum(asked) == len(directories) + 1 == 1365
    visited = list(dict.fromkeys(path[:-1] for path, _ in found))
    assert visited == sorted(visited)  # each with all that is below before the next, by name
    assert len(asked) < 16


def test_walk_does_not_follow_a_tree_into_itself_for_ever():
    held = Held()
    held.bodies.append(
        nodes.node(
            dtf.LIST,
            [nodes.REF.pack(dtf.NODE_REF, 1, 0)],
            [nodes.pack_entry(dtf.DIRECTORY, 0, 0, Status, b"again", b"", b"", 0)],
        )
    )
    with pytest.raises(AgentError, match="deeper"):
        _walked(held, nodes.REF.pack(dtf.NODE_REF, 1, 0))
