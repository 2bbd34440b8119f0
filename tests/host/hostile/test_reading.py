"""Reading what belongs to another client: by guessed numbers, directly and through objects of one's own. What exists and what does not look the same."""

import re

import pytest

from firmware.formats import dtf, message, pack
from firmware.formats.refusal import Refusal
from tests.host.hostile import craft
from tests.host.hostile.stage import SECRET, begin, fresh, said
from tests.lab.wire import Wire

_ABSENT = 9  # a BDF id that nobody has; as long to write as the victim's


def _requests(group: int) -> list:
    """What asks for items 0 .. 3 of a BDF, in every way there is."""
    refs = [(group, index, 1, 0, 0) for index in range(4)]
    return [
        ("ITEMS_GET", (message.DISK, pack.FILES, refs), "END"),
        ("ITEMS_GET", (message.DISK, pack.NODES, refs), "END"),
        ("ITEMS_GET", (message.DISK, pack.DATA, refs), "END"),
        ("ITEMS_GET", (message.DISK, pack.DATA, [(group, index, 1, group, index) for index in range(4)]), "END"),
        ("ITEMS_GET", (message.DISK, pack.DATA, [(group, 0, 0xFFFFFFFF, group, 1)]), "END"),
        ("OWNED_GET", (message.DISK, [(group,)]), "OWNED"),
        ("PRINTS_GET", (group, 1), "PRINTS"),
        ("VIEWS_GET", (message.DISK, 0), "VIEWS"),
        ("ITEMS_GET", (message.TAPE, pack.FILES, refs), "END"),
    ]


@pytest.mark.parametrize("which", range(len(_requests(0))))
def test_items_of_another_client_look_absent(stage, which):
    answers = []
    for group in (stage.root[0], _ABSENT):
        name, values, end = _requests(group)[which]
        with stage.hostile() as wire:
            wire.send(name, *values)
            answers.append(said(wire, end))
    assert answers[0] == answers[1]
    assert "DATA" not in [name for name, _, _ in answers[0]]


def _refused(stage, items: list) -> tuple:
    """(name, text with numbers masked) of the refusal of packs [(kind, items)], numbered from the grant on."""
    with stage.hostile() as wire:
        grant = begin(wire)
        for kind, bodies in items:
            craft.send(wire, kind, grant, [body(grant) if callable(body) else body for body in bodies])
        wire.send("SYNC")
        name, values, _ = wire.receive()
        assert name == "ERROR", name
        return values.code, re.sub(r"\d+", "#", values.text)


def _own_run(grant) -> list:
    return [(grant.group, grant.next_data, 1)]


_DATA = fresh(1000)
_CHUNK = (pack.DATA, [_DATA])


def _through_run(group: int) -> list:
    return [(pack.FILES, [craft.file_object(SECRET[b"ledger"], [(group, 0, 86)])])]


def _through_base(group: int) -> list:
    return [(pack.FILES, [craft.file_object(SECRET[b"ledger"], [(group, 0, 86)], base=(group, 2))])]


def _through_base_beside_own(group: int) -> list:
    return [_CHUNK, (pack.FILES, [lambda grant: craft.file_object(_DATA, _own_run(grant) + [(group, 0, 1)], base=(group, 1))])]


def _through_irregular(group: int) -> list:
    return [(pack.FILES, [craft.file_object(SECRET[b"ledger"], [(group, 0, 86)], flags=1)])]


def _through_file_ref(group: int) -> list:
    return [(pack.NODES, [craft.node([(dtf.FILE, group, 1)])])]


def _through_node_ref(group: int) -> list:
    return [(pack.NODES, [craft.node([(dtf.NODE_REF, group, 0)])])]


# The ways of one's own objects into another client's: each gives packs that refer to `group`.
_WAYS = (_through_run, _through_base, _through_base_beside_own, _through_irregular, _through_file_ref, _through_node_ref)


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way.__name__[1:])
def test_references_to_another_client_look_absent(stage, way):
    # BDF ids count up: the absent one must be below those that the attack itself is given, or it would be "later".
    gone = _gone(stage)
    assert _refused(stage, way(stage.root[0])) == _refused(stage, way(gone))


def _gone(stage) -> int:
    """A BDF id that was given up and freed."""
    with stage.hostile() as wire:
        group = begin(wire).group
        wire.ask("ABANDON", expect="ABANDONED")
    stage.rows("groups")
    return group


def test_a_foreign_root_cannot_be_committed(stage):
    answers = []
    for group in (stage.root[0], _gone(stage)):
        with stage.hostile() as wire:
            begin(wire)
            with pytest.raises(Refusal) as refusal:
                wire.ask("COMMIT", group, stage.root[1], 0, 1, 1, "", expect="COMMITTED")
            answers.append((refusal.value.name, re.sub(r"\d+", "#", refusal.value.text)))
            wire.ask("ABANDON", expect="ABANDONED")
    assert answers[0] == answers[1] and answers[0][0] == "NOT_FOUND"
    assert stage.listed(stage.intruder) == []


def test_after_all_that_another_identity_is_no_use(stage):
    """The victim's uuid with the intruder's token, unknown uuids with either: one answer."""
    answers = set()
    for uuid in (stage.victim[0], fresh(16)):
        with Wire(stage.door.address, "127.0.0.67") as wire:
            wire.hello()
            wire.send("AUTH", uuid, stage.intruder[1])
            refusal = wire.refusal()
            answers.add((refusal.name, refusal.text))
    assert answers == {("AUTH", "client unknown or token wrong: pair this agent again")}
