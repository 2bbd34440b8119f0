"""Rewriting history: commits of what is not there, of impossible times and sizes; items of backups that were given up; no way to delete."""

import pytest

from firmware.formats import dtf, message, pack
from firmware.formats.refusal import Refusal
from tests.host.hostile import craft
from tests.host.hostile.stage import begin, fresh

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_HUGE = (1 << 64) - 1


def _small(wire, grant) -> tuple:
    """A chunk, its file object, a node with it; gives the node's (group, index)."""
    data = fresh(3000)
    craft.send(wire, pack.DATA, grant, [data])
    craft.send(wire, pack.FILES, grant, [craft.file_object(data, [(grant.group, grant.next_data, 1)])])
    craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, grant.group, grant.next_file)])])
    return grant.group, grant.next_node


def _commit(wire, root: tuple, time_ns: int = 1, files: int = 1, size: int = 1) -> int:
    return wire.ask("COMMIT", *root, time_ns, files, size, "", expect="COMMITTED").view


def test_a_root_that_was_never_sent(stage):
    with stage.hostile() as wire:
        grant = begin(wire)
        for index in (grant.next_node, grant.next_node + 1, 0xFFFFFFFF):
            with pytest.raises(Refusal) as refusal:
                _commit(wire, (grant.group, index))
            assert refusal.value.name == "NOT_FOUND"
        wire.ask("ABANDON", expect="ABANDONED")
    assert stage.listed(stage.intruder) == []


def test_a_second_commit_and_packs_after_it(stage):
    with stage.hostile() as wire:
        root = _small(wire, begin(wire))
        first = _commit(wire, root)
        wire.send("COMMIT", *root, 1, 1, 1, "")
        assert wire.refusal().name == "PROTOCOL"
    assert [row[0] for row in stage.listed(stage.intruder)] == [first]


@pytest.mark.parametrize("time_ns", [_LEAST, -1, 0, _MOST])
def test_times_and_sizes_that_cannot_be(stage, time_ns):
    """Views are numbered by the appliance: whatever time one claims, those before it stay where they are."""
    before = stage.listed(stage.intruder)
    with stage.hostile() as wire:
        root = _small(wire, begin(wire))
        view = _commit(wire, root, time_ns, _HUGE, _HUGE)
        wire.ask("STATUS_GET", expect="STATUS")
    after = stage.listed(stage.intruder)
    assert after[:-1] == before
    assert after[-1][0] == view and after[-1][3:6] == (time_ns, _HUGE, _HUGE)
    stage.door.ask("usage")


def test_items_of_a_backup_that_was_given_up(stage):
    """They are being freed: neither a new backup nor a reader of the same client may count on them."""
    with stage.hostile() as wire:
        grant = begin(wire)
        root = _small(wire, grant)
        wire.ask("SYNC", expect="SYNCED")
        wire.ask("ABANDON", expect="ABANDONED")
    ways = (
        (pack.NODES, craft.node([(dtf.FILE, grant.group, grant.next_file)])),
        (pack.NODES, craft.node([(dtf.NODE_REF, *root)])),
        (pack.FILES, craft.file_object(fresh(3000), [(grant.group, grant.next_data, 1)], flags=1)),
    )
    for kind, item in ways:
        with stage.hostile() as wire:
            craft.send(wire, kind, begin(wire), [item])
            wire.send("SYNC")
            assert wire.refusal().name == "NOT_FOUND"
    with stage.hostile() as wire:
        begin(wire)
        with pytest.raises(Refusal):
            _commit(wire, root)
        wire.ask("ABANDON", expect="ABANDONED")


def test_given_up_and_referred_to_in_one_breath(stage):
    """The same without a moment for the collector in between, many times: whichever comes first, the books agree."""
    for _ in range(30):
        with stage.hostile() as wire:
            grant = begin(wire)
            root = _small(wire, grant)
            wire.send("ABANDON")
            wire.send("BEGIN", 1, 1)
            assert wire.receive()[0] == "ABANDONED"
            grant = wire.receive()[1]
            craft.send(wire, pack.NODES, grant, [craft.node([(dtf.NODE_REF, *root)])])
            wire.send("COMMIT", grant.group, grant.next_node, 1, 1, 1, "")
            assert wire.refusal().name == "NOT_FOUND"


def test_chunks_that_nothing_needs_referred_to_while_they_are_swept(stage):
    """A commit sweeps chunks that no file object uses. A new file object that names them is refused or they are kept: never half."""
    for _ in range(30):
        with stage.hostile() as wire:
            grant = begin(wire)
            data = [fresh(2000) for _ in range(4)]
            for at, each in enumerate(data):
                craft.send(wire, pack.DATA, grant, [each], grant.next_data + at)
            craft.send(wire, pack.NODES, grant, [craft.node([])])
            wire.send("COMMIT", grant.group, grant.next_node, 1, 0, 0, "")
            wire.send("BEGIN", 1, 1)
            assert wire.receive()[0] == "COMMITTED"
            after = wire.receive()[1]
            craft.send(wire, pack.FILES, after, [craft.file_object(data[3], [(grant.group, grant.next_data + 3, 1)])])
            craft.send(wire, pack.NODES, after, [craft.node([(dtf.FILE, after.group, after.next_file)])])
            wire.send("COMMIT", after.group, after.next_node, 1, 1, 2000, "")
            name, values, _ = wire.receive()
            assert name in ("COMMITTED", "ERROR")
            if name == "ERROR":
                assert values.code == Refusal("NOT_FOUND", "").code, values.text
            else:
                row = (grant.group, grant.next_data + 3, 1, after.group, after.next_file)
                items, lost = wire.fetch("ITEMS_GET", message.DISK, pack.DATA, [row])
                assert (items, lost) == ([data[3]], [])


@pytest.mark.parametrize("name", [name for name in message.TYPES if message.SENDER[message.TYPES[name]] == "appliance"])
def test_the_appliance_s_own_messages_mean_nothing_to_it(stage, name):
    with stage.hostile() as wire:
        begin(wire)
        wire.send_body(message.TYPES[name], b"")
        assert wire.refusal().name == "PROTOCOL"


def test_no_message_deletes(stage):
    """Every type number there is, known or not, with an empty body and with numbers in it: views are never fewer."""
    before = stage.listed(stage.intruder)
    for type_ in range(256):
        if message.NAMES.get(type_) in ("COMMIT", "BEGIN", "ABANDON"):
            continue
        with stage.hostile() as wire:
            wire.send_body(type_, b"\1\0\0\0" * 2)
            wire.receive()
    assert stage.listed(stage.intruder) == before
