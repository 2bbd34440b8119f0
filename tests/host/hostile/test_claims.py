"""Claims of files that the intruder does not hold: right CRC, right size, even the right signature, but no contents."""

import binascii
import hashlib
import struct

import pytest

from firmware.formats import dtf, fileobject, limits, message, pack, rfe
from firmware.formats.refusal import Refusal
from firmware.store import rfe_budget
from tests.host.hostile import craft
from tests.host.hostile.stage import SECRET, begin, fresh
from tests.lab import tree

_NAME = b"ledger"
_INDEX = sorted(SECRET).index(_NAME)  # of its file object: tree.backup goes by name


@pytest.fixture(autouse=True)
def newcomer(stage):
    """What an intruder did in one test would count against it in the next."""
    stage.newcomer()


def _crc(name: bytes, data: bytes) -> int:
    return binascii.crc32(rfe.KEY.pack(len(data), tree.TIME_NS) + name)


def _ask(wire, names: list, files: dict = SECRET):
    """RFE_NOMINEES for files of these names and contents."""
    crcs = b"".join([struct.pack("<I", _crc(name, files[name])) for name in names])
    return wire.ask("RFE_ASK", crcs, expect="RFE_NOMINEES")


def _nominees(answer) -> list:
    """wire.NOMINEE tuples."""
    return [message.NOMINEE.unpack_from(answer.nominees, at)[0] for at in range(0, len(answer.nominees), message.NOMINEE.size)]


def _right(data: bytes, answer, nominee) -> bytes:
    """The proof of who holds the file."""
    offset, length = rfe.challenged(nominee.size, nominee.point)
    return _digest(data[offset : offset + length], answer.nonce + craft.signature(data))


def _digest(data: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=rfe.PROOF_DIGEST_BYTES).digest()


def _prove(wire, batch: int, proofs: list) -> list:
    """Verdicts for [(nominee, digest)]."""
    packed = b"".join([message.PROOF.pack(*row) for row in proofs])
    return list(wire.ask("RFE_PROVE", batch, packed, expect="RFE_PROVEN").verdicts)


def _tried(wire, name: bytes, proof, files: dict = SECRET, times: int = 1) -> list:
    """Verdicts for `proof(data, answer, nominee)` of the one nominee of a file, `times` over."""
    answer = _ask(wire, [name], files)
    [nominee] = _nominees(answer)
    return _prove(wire, answer.batch, [(0, proof(files[name], answer, nominee))] * times)


def _refer(wire, grant, group: int) -> str:
    """What becomes of a node that refers to the claimed file: name of the refusal."""
    craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, group, _INDEX)])])
    with pytest.raises(Refusal) as refusal:
        wire.ask("SYNC", expect="SYNCED")
    return refusal.value.name


def _part(data: bytes, nominee, by: int = 0) -> bytes:
    offset, length = rfe.challenged(nominee.size, nominee.point)
    return data[offset + by : offset + by + length]


_WRONG = {
    "noise": lambda data, answer, nominee: fresh(16),
    "zeros": lambda data, answer, nominee: _digest(bytes(4096), answer.nonce + craft.signature(data)),
    "no key": lambda data, answer, nominee: _digest(_part(data, nominee), b""),
    "contents without the signature": lambda data, answer, nominee: _digest(_part(data, nominee), answer.nonce + bytes(32)),
    "signature without the contents": lambda data, answer, nominee: _digest(b"", answer.nonce + craft.signature(data)),
    "nonce alone": lambda data, answer, nominee: _digest(_part(data, nominee), answer.nonce),
    "other range": lambda data, answer, nominee: _digest(_part(data, nominee, -1), answer.nonce + craft.signature(data)),
}


@pytest.mark.parametrize("way", _WRONG)
def test_a_proof_without_the_contents(stage, way):
    """The refusal is that of a nominee that is not there: same frames, same sizes, same verdict."""
    with stage.hostile() as wire:
        begin(wire)
        answer = _ask(wire, [_NAME])
        [nominee] = _nominees(answer)
        digest = _WRONG[way](SECRET[_NAME], answer, nominee)
        seen = []
        for batch, number in ((answer.batch, 0), (answer.batch, 700), (9999, 0)):
            wire.send("RFE_PROVE", batch, message.PROOF.pack(number, digest))
            seen.append(wire.receive()[:2])
        assert seen == [("RFE_PROVEN", (b"\0",))] * 3
        wire.ask("ABANDON", expect="ABANDONED")


def test_a_refused_proof_gives_no_reference(stage):
    with stage.hostile() as wire:
        grant = begin(wire)
        assert _tried(wire, _NAME, _WRONG["noise"]) == [0]
        assert _refer(wire, grant, stage.root[0]) == "NOT_FOUND"
    with stage.hostile() as wire:
        _, lost = wire.fetch("ITEMS_GET", message.DISK, pack.DATA, [(stage.root[0], _INDEX, 1, stage.root[0], _INDEX)])
        assert len(lost) == 1


def test_a_proof_counts_once_and_under_its_nonce_only(stage):
    """The intruder has overheard an honest proof of the whole file's range: it is worth nothing, in its own session or the same one."""
    data = SECRET[b"letter"]  # one possible range: only the nonce differs
    with stage.hostile() as wire:
        begin(wire)
        answer = _ask(wire, [b"letter"])
        heard = _right(data, answer, _nominees(answer)[0])
        wire.ask("ABANDON", expect="ABANDONED")
    with stage.hostile() as wire:
        begin(wire)
        for _ in range(8):
            later = _ask(wire, [b"letter"])
            assert later.nonce != answer.nonce
            assert _prove(wire, later.batch, [(0, heard)]) == [0]
            assert _prove(wire, later.batch, [(0, _right(data, later, _nominees(later)[0]))]) == [0], "the batch was used"
        wire.ask("ABANDON", expect="ABANDONED")


def test_only_the_newest_batches_are_remembered(stage):
    with stage.hostile() as wire:
        begin(wire)
        asked = [_ask(wire, [_NAME]) for _ in range(limits.RFE_BATCHES + 1)]
        proofs = [[(0, _right(SECRET[_NAME], answer, _nominees(answer)[0]))] for answer in asked]
        verdicts = [_prove(wire, answer.batch, proof) for answer, proof in zip(asked, proofs, strict=True)]
        assert verdicts == [[0]] + [[1]] * limits.RFE_BATCHES
        wire.ask("ABANDON", expect="ABANDONED")


def test_a_nominee_that_the_answer_did_not_hold(stage):
    """Only what the appliance named can be proven, whatever the intruder knows of other files."""
    data = SECRET[b"photo"]
    with stage.hostile() as wire:
        begin(wire)
        answer = _ask(wire, [_NAME])
        [nominee] = _nominees(answer)
        proofs = [(number, _right(data, answer, nominee._replace(size=len(data)))) for number in (0, 1, 2, 65535)]
        assert _prove(wire, answer.batch, proofs) == [0, 0, 0, 0]
        wire.ask("ABANDON", expect="ABANDONED")


def test_who_guesses_long_enough_gets_no_grants(stage):
    """After so many wrong proofs not even a right one counts that day: ranges cannot be tried until a known one comes."""
    with stage.hostile() as wire:
        begin(wire)
        assert _tried(wire, _NAME, _right) == [1], "who holds the file may have it"
        assert sum(_tried(wire, _NAME, _WRONG["noise"], times=rfe_budget.FAILURES)) == 0
        assert _tried(wire, _NAME, _right) == [0]
        wire.ask("ABANDON", expect="ABANDONED")
    with stage.hostile() as wire:
        begin(wire)
        assert _tried(wire, _NAME, _right) == [0], "a new connection changes nothing"
        wire.ask("ABANDON", expect="ABANDONED")
    with stage.honest() as wire:
        begin(wire)
        assert _tried(wire, _NAME, _right) == [1], "others pay nothing for it"
        wire.ask("ABANDON", expect="ABANDONED")


def test_a_probing_stream_is_soon_told_nothing(stage):
    """CRCs of files that others hold, never proven: after so many answers everything looks absent, in new connections, too."""
    told = 0
    row = struct.pack("<I", _crc(_NAME, SECRET[_NAME])) * limits.RFE_ROWS
    for _ in range(2):
        with stage.hostile() as wire:
            begin(wire)
            for _ in range(rfe_budget.UNPROVEN // limits.RFE_ROWS + 2):
                told += len(_nominees(wire.ask("RFE_ASK", row, expect="RFE_NOMINEES")))
            seen = [wire.ask("RFE_ASK", crc, expect="RFE_NOMINEES").nominees for crc in (row[:4], b"none")]
            assert seen == [b"", b""]
            wire.ask("ABANDON", expect="ABANDONED")
    assert told == rfe_budget.UNPROVEN
    with stage.honest() as wire:
        begin(wire)
        assert len(_nominees(_ask(wire, [_NAME]))) == 1, "what is the client's own is always told"
        wire.ask("ABANDON", expect="ABANDONED")


def test_who_proves_what_it_is_told_goes_on(stage):
    """More answers than the budget, each of them proven: an honest client with many files."""
    with stage.hostile() as wire:
        begin(wire)
        for _ in range(rfe_budget.UNPROVEN // limits.RFE_ROWS + 2):
            answer = _ask(wire, [_NAME] * limits.RFE_ROWS)
            proofs = [(at, _right(SECRET[_NAME], answer, row)) for at, row in enumerate(_nominees(answer))]
            assert _prove(wire, answer.batch, proofs) == [1] * limits.RFE_ROWS
        wire.ask("ABANDON", expect="ABANDONED")


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
            assert [(row.group, row.index) for row in _nominees(_ask(other, [_NAME]))] == [(stage.root[0], _INDEX)]
            other.ask("ABANDON", expect="ABANDONED")
        wire.ask("ABANDON", expect="ABANDONED")


def _irregular(stage, told: bytes, chunks: list, name: bytes) -> tuple:
    """The intruder commits a file object of `chunks` that says it is `told`. (group, index)."""
    with stage.hostile() as wire:
        grant = begin(wire)
        craft.send(wire, pack.DATA, grant, chunks)
        runs = [(grant.group, grant.next_data, len(chunks))]
        craft.send(wire, pack.FILES, grant, [craft.file_object(told, runs, _crc(name, told), flags=fileobject.IRREGULAR)])
        craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, grant.group, grant.next_file)])])
        wire.ask("COMMIT", grant.group, grant.next_node, 1, 1, len(told), "", expect="COMMITTED")
        return grant.group, grant.next_file


@pytest.mark.parametrize("size", (3000, 300_000))
def test_objects_that_lie_about_themselves_are_given_to_nobody(stage, size):
    """IRREGULAR objects carry a signature that nobody has verified: with it the intruder would give others its own contents.

    The victim's proof is right for the range that it was asked for, but the appliance reads all before it gives the object away.
    """
    wanted = fresh(size)
    for at in (0, size // 2, size - 1):
        poison = wanted[:at] + bytes((wanted[at] ^ 1,)) + wanted[at + 1 :]
        name = b"installer-%d-%d.exe" % (size, at)
        _irregular(stage, wanted, [poison[at : at + 7000] for at in range(0, size, 7000)], name)
        with stage.honest() as wire:
            begin(wire)
            for _ in range(3):
                assert sum(_tried(wire, name, _right, {name: wanted})) == 0
            wire.ask("ABANDON", expect="ABANDONED")


def test_irregular_objects_that_tell_the_truth_are_given_to_who_holds_them(stage):
    """A file that was sent as a difference serves others, too: bytes in front of it have moved all its chunks."""
    name, data = b"mailbox", fresh(300_000)
    ref = _irregular(stage, data, [data[:10]] + [data[at : at + 8192] for at in range(10, len(data), 8192)], name)
    for _ in range(2):  # the second time its signature is known to be right
        with stage.honest() as wire:
            begin(wire)
            [nominee] = _nominees(_ask(wire, [name], {name: data}))
            assert (nominee.group, nominee.index) == ref
            assert _tried(wire, name, _right, {name: data}) == [1]
            assert _tried(wire, name, _WRONG["signature without the contents"], {name: data}) == [0]
            wire.ask("SYNC", expect="SYNCED")
            wire.ask("ABANDON", expect="ABANDONED")


def test_the_same_proof_over_and_over_is_one_reference(stage):
    """A grant is counted once, kept or let go with the backup; the file outlives the intruder's interest in it."""
    for _ in range(3):
        with stage.hostile() as wire:
            grant = begin(wire)
            assert _tried(wire, _NAME, _right, times=40) == [1] * 40
            craft.send(wire, pack.NODES, grant, [craft.node([(dtf.FILE, stage.root[0], _INDEX)] * 40)])
            wire.ask("SYNC", expect="SYNCED")
            wire.ask("ABANDON", expect="ABANDONED")
