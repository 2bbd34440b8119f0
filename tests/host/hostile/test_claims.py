"""Claims of files that the intruder does not hold: right CRC, right size, even the right signature, but no contents."""

import binascii

import pytest

from firmware.formats import dtf, fileobject, message, pack, rfe
from firmware.formats.refusal import Refusal
from tests.host.hostile import craft
from tests.host.hostile.stage import SECRET, begin, fresh
from tests.lab import tree
from tests.lab.wire import blake2b

_NAME = b"ledger"
_INDEX = sorted(SECRET).index(_NAME)  # of its file object: tree.backup goes by name


def _crc(name: bytes, data: bytes) -> int:
    return binascii.crc32(rfe.KEY.pack(len(data), tree.TIME_NS) + name)


def _claim(group: int, data: bytes, index: int = _INDEX) -> tuple:
    return group, index, len(data), craft.signature(data)


def _verdicts(wire, claims: list, answer) -> list:
    """`answer(nonce, [(offset, length)])` gives the digests."""
    challenge = wire.ask("RFE_CLAIM", claims, expect="RFE_CHALLENGE")
    digests = answer(challenge.nonce, [tuple(row) for row in challenge.ranges])
    return [row[0] for row in wire.ask("RFE_PROOF", [(digest,) for digest in digests], expect="RFE_VERDICT").verdicts]


def _right(data: bytes):
    return lambda nonce, ranges: [blake2b(data[at : at + count], nonce) for at, count in ranges]


def _refer(wire, grant, group: int) -> str:
    """What becomes of a node that refers to the claimed file: name of the refusal."""
    craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, group, _INDEX)])])
    with pytest.raises(Refusal) as refusal:
        wire.ask("SYNC", expect="SYNCED")
    return refusal.value.name


_WRONG = {
    "noise": lambda data: lambda nonce, ranges: [fresh(32) for _ in ranges],
    "zeros": lambda data: lambda nonce, ranges: [blake2b(bytes(count), nonce) for _, count in ranges],
    "no key": lambda data: lambda nonce, ranges: [blake2b(data[at : at + count]) for at, count in ranges],
    "other range": lambda data: lambda nonce, ranges: [blake2b(data[at + 1 : at + 1 + count], nonce) for at, count in ranges],
    "signature": lambda data: lambda nonce, ranges: [blake2b(craft.signature(data), nonce) for _ in ranges],
    "empty": lambda data: lambda nonce, ranges: [blake2b(b"", nonce) for _ in ranges],
}


@pytest.mark.parametrize("way", _WRONG)
def test_a_right_claim_without_the_contents(stage, way):
    """The refusal is that of a file that is not there: same frames, same sizes, same verdict."""
    data = SECRET[_NAME]
    seen = []
    for group in (stage.root[0], 900):
        with stage.hostile() as wire:
            begin(wire)
            wire.send("RFE_CLAIM", [_claim(group, data)])
            name, challenge, _ = wire.receive()
            ranges = [tuple(row) for row in challenge.ranges]
            wire.send("RFE_PROOF", [(digest,) for digest in _WRONG[way](data)(challenge.nonce, ranges)])
            seen.append((name, len(ranges), ranges[0][1], wire.receive()[:2]))
            wire.ask("ABANDON", expect="ABANDONED")
    assert seen[0] == seen[1]
    assert seen[0][3] == ("RFE_VERDICT", ([(0,)],))


def test_a_refused_claim_gives_no_reference(stage):
    with stage.hostile() as wire:
        grant = begin(wire)
        assert _verdicts(wire, [_claim(stage.root[0], SECRET[_NAME])], _WRONG["noise"](b"")) == [0]
        assert _refer(wire, grant, stage.root[0]) == "NOT_FOUND"
    with stage.hostile() as wire:
        _, lost = wire.fetch("ITEMS_GET", message.DISK, pack.DATA, [(stage.root[0], _INDEX, 1, stage.root[0], _INDEX)])
        assert len(lost) == 1


def test_a_proof_replayed_under_another_nonce(stage):
    """The intruder has overheard an honest proof of the whole file's range; nonces never repeat, so it is worth nothing."""
    data = SECRET[b"letter"]  # one chunk, one possible range: only the nonce differs
    claim = _claim(stage.root[0], data, sorted(SECRET).index(b"letter"))
    heard = []

    def overhear(nonce, ranges):
        heard.append((nonce, _right(data)(nonce, ranges)))
        return heard[-1][1]

    with stage.honest() as wire:
        begin(wire)
        assert _verdicts(wire, [claim], overhear) == [1]
        wire.ask("ABANDON", expect="ABANDONED")
    with stage.hostile() as wire:
        begin(wire)
        for _ in range(8):
            assert _verdicts(wire, [claim], lambda nonce, ranges: heard[0][1]) == [0]
            challenge = wire.ask("RFE_CLAIM", [claim], expect="RFE_CHALLENGE")
            assert challenge.nonce != heard[0][0]
            wire.ask("RFE_PROOF", [(bytes(32),)], expect="RFE_VERDICT")
        wire.ask("ABANDON", expect="ABANDONED")


def test_a_holder_who_lies_about_size_or_signature(stage):
    data = SECRET[_NAME]
    group = stage.root[0]
    with stage.hostile() as wire:
        begin(wire)
        for claim in (
            (group, _INDEX, len(data) + 1, craft.signature(data)),
            (group, _INDEX, 0, craft.signature(data)),
            (group, _INDEX, len(data), bytes(32)),
            (group, _INDEX + 1, len(data), craft.signature(data)),
            (group, 0, 0, craft.signature(b"")),
        )[:4]:
            assert _verdicts(wire, [claim], _right(data)) == [0], claim
        wire.ask("ABANDON", expect="ABANDONED")


def test_who_guesses_long_enough_gets_no_grants(stage):
    """After so many refused claims not even a right one counts in this backup: ranges cannot be tried until a known one comes."""
    data = SECRET[_NAME]
    claim = _claim(stage.root[0], data)
    with stage.hostile() as wire:
        begin(wire)
        assert _verdicts(wire, [claim], _right(data)) == [1], "who holds the file may have it"
        assert sum(_verdicts(wire, [claim] * 512, _WRONG["noise"](data))) == 0
        assert _verdicts(wire, [claim], _right(data)) == [0]
        wire.ask("ABANDON", expect="ABANDONED")


def test_a_proof_without_a_claim_and_too_many_proofs(stage):
    for count in (0, 2):
        with stage.hostile() as wire:
            begin(wire)
            wire.ask("RFE_CLAIM", [_claim(stage.root[0], SECRET[_NAME])], expect="RFE_CHALLENGE")
            with pytest.raises(Refusal) as refusal:
                wire.ask("RFE_PROOF", [(bytes(32),)] * count, expect="RFE_VERDICT")
            assert refusal.value.name == "PROTOCOL"
    with stage.hostile() as wire:
        begin(wire)
        wire.send("RFE_PROOF", [(bytes(32),)])
        assert wire.refusal().name == "PROTOCOL"


def _candidates(wire, crc: int) -> list:
    return wire.ask("RFE_QUERY", [(crc,)], expect="RFE_CANDIDATES").candidates


def test_a_poisoned_index_does_not_hide_files_or_give_wrong_ones(stage):
    """File objects under the CRC of the victim's file: unfinished ones are invisible, finished ones only nominate, and prove nothing."""
    crc = _crc(_NAME, SECRET[_NAME])
    fake = fresh(500)
    with stage.hostile() as wire:
        grant = begin(wire)
        craft.send(wire, pack.DATA, grant, [fake])
        craft.send(wire, pack.FILES, grant, [craft.file_object(fake, [(grant.group, grant.next_data, 1)], crc)] * 1024)
        wire.ask("SYNC", expect="SYNCED")
        with stage.honest() as other:
            begin(other)
            assert [row[1:3] for row in _candidates(other, crc)] == [(stage.root[0], _INDEX)]
            other.ask("ABANDON", expect="ABANDONED")
        wire.ask("ABANDON", expect="ABANDONED")


def test_objects_that_lie_about_themselves_are_not_offered(stage):
    """IRREGULAR objects carry a signature that nobody has verified: with it the intruder would give others its own contents."""
    wanted, poison = fresh(3000), fresh(3000)
    crc = _crc(b"installer.exe", wanted)
    with stage.hostile() as wire:
        grant = begin(wire)
        craft.send(wire, pack.DATA, grant, [poison])
        lie = craft.file_object(wanted, [(grant.group, grant.next_data, 1)], crc, flags=fileobject.IRREGULAR)
        craft.send(wire, pack.FILES, grant, [lie])
        craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, grant.group, grant.next_file)])])
        wire.ask("COMMIT", grant.group, grant.next_node, 1, 1, 3000, "", expect="COMMITTED")
    with stage.honest() as wire:
        begin(wire)
        assert _candidates(wire, crc) == []
        claim = (grant.group, grant.next_file, 3000, craft.signature(wanted))
        assert _verdicts(wire, [claim], _right(wanted)) == [0]
        assert _verdicts(wire, [claim], _right(poison)) == [0]
        wire.ask("ABANDON", expect="ABANDONED")


def test_the_same_claim_over_and_over_is_one_reference(stage):
    """A grant is counted once, kept or let go with the backup; the file outlives the intruder's interest in it."""
    data = SECRET[_NAME]
    for _ in range(3):
        with stage.hostile() as wire:
            grant = begin(wire)
            assert _verdicts(wire, [_claim(stage.root[0], data)] * 40, _right(data)) == [1] * 40
            craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, stage.root[0], _INDEX)] * 40)])
            wire.ask("SYNC", expect="SYNCED")
            wire.ask("ABANDON", expect="ABANDONED")
