"""Floods: what is legal once, sent without end. An honest client backs up and restores meanwhile; memory, disk and log stay bounded."""

import os
import random
import socket
import threading
import time

import pytest

from firmware.formats import catalog, limits, message, pack
from firmware.formats.frame import FRAME
from firmware.formats.refusal import Refusal
from firmware.net import server
from tests.host.hostile import craft
from tests.host.hostile.stage import SECRET, begin, fresh
from tests.lab import tree
from tests.lab.wire import Wire

_ROUNDS = 4  # of the honest client while a flood runs
_HEAP_BYTES = 8 << 20  # more than before a flood, when it is over
_GONE = (OSError, Refusal)


class _Flood(threading.Thread):
    """`work()` again and again until the block is left; `turns` says how often it came to its end, `error` what stopped it."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self._work = work
        self._over = threading.Event()
        self._began = threading.Event()
        self.turns = 0
        self.error = None

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._work()
                self.turns += 1
            except _GONE:
                pass
            except Exception as error:  # noqa: BLE001  the test reports it
                self.error = error
                return
            finally:
                self._began.set()

    def __enter__(self):
        self.start()
        assert self._began.wait(60)
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def _heap(stage) -> int:
    return stage.door.status()["heap_bytes"]


def _honest(stage, rounds: int = _ROUNDS) -> None:
    """The victim works on: backs up new files, restores the old ones and the new."""
    for number in range(rounds):
        files = {b"new": fresh(60_000), b"same": b"as ever %d" % number}
        with stage.honest() as wire:
            view = tree.backup(wire, files)
            assert tree.restore(wire, view) == files
            assert tree.restore(wire, stage.view) == SECRET


def test_begin_and_abandon(stage):
    before = stage.rows(catalog.GROUPS)
    heap = _heap(stage)

    def work():
        with stage.hostile() as wire:
            for _ in range(250):
                begin(wire)
                wire.ask("ABANDON", expect="ABANDONED")

    with _Flood(work) as flood:
        _honest(stage)
        _wait(lambda: flood.turns >= 4)
    assert stage.rows(catalog.GROUPS) <= before + _ROUNDS + 1, "the honest views, and one that was cut"
    assert _heap(stage) < heap + _HEAP_BYTES


def test_queries_without_end(stage):
    rows = random.Random(7).randbytes(limits.RFE_ROWS * message.CRC.size)

    def work():
        with stage.hostile() as wire:
            begin(wire)
            for _ in range(20):
                wire.ask("RFE_ASK", rows, expect="RFE_NOMINEES")
            wire.ask("ABANDON", expect="ABANDONED")

    heap = _heap(stage)
    with _Flood(work):
        _honest(stage)
    assert _heap(stage) < heap + _HEAP_BYTES


def test_reads_and_never_takes_the_answer(stage):
    """Four connections, each with as much asked for as the kernel takes; they hold no more than their read-ahead."""
    data = {b"large": fresh(4 << 20)}
    with stage.hostile() as wire:
        view = tree.backup(wire, data)
        root = next(row for row in wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views if row[0] == view)
    heap = _heap(stage)
    wires = []
    try:
        for _ in range(server.SESSIONS_CLIENT):
            wires.append(stage.hostile())
            wires[-1].socket.settimeout(1)
            try:
                for _ in range(200):
                    wires[-1].send("ITEMS_GET", message.DISK, pack.DATA, [(root[1], 0, 512, 0, 0)] * 64)
            except OSError:
                pass
        _honest(stage)
        held = _heap(stage) - heap
        assert held < server.SESSIONS_CLIENT * 4 * limits.PACK_RAW_BYTES, held
    finally:
        for wire in wires:
            wire.close()
    _settled(stage)


def _settled(stage) -> None:
    _wait(lambda: not stage.door.status()["sessions"])


def _wait(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came true")


def test_guesses_at_pairing_codes(stage):
    """Thousands of guesses cost a line in the log; only few are looked at, and a code that is made afterwards works."""
    looked_at = []

    def work():
        with Wire(stage.door.address, "127.0.0.67") as wire:
            wire.hello()
            try:
                wire.ask("PAIR", os.urandom(16), os.urandom(32), "guess", expect="PAIRED")
                raise AssertionError("a guess was right")
            except Refusal as refusal:
                looked_at.append(refusal.name)

    with _Flood(work):
        _honest(stage)
        _wait(lambda: len(looked_at) >= 300)
    assert looked_at.count("PAIRING") <= 16, "%d of %d guesses were looked at" % (looked_at.count("PAIRING"), len(looked_at))
    assert set(looked_at) == {"PAIRING", "BUSY"}
    made = stage.door.ask("client late%d" % len(looked_at))
    with Wire(stage.door.address, "127.0.0.5") as wire:
        wire.hello()
        assert wire.pair(made["code"])


def test_half_open_connections_do_not_keep_others_out(stage):
    """Hundreds from many addresses that never finish the handshake: the oldest give way to whoever comes."""
    held = []
    try:
        for number in range(400):
            plain = socket.create_connection(stage.door.address, 10, ("127.0.1.%d" % (1 + number % 60), 0))
            plain.send(b"\x16\x03\x01\x02"[: number % 5])
            held.append(plain)
            if number % 50 == 49:
                _honest(stage, 1)
        assert stage.door.status()["sessions"] <= server.UNKNOWN + 8
        assert stage.door.status()["refused"] >= 400 - server.UNKNOWN - 60
        _honest(stage)
    finally:
        for plain in held:
            plain.close()
    _settled(stage)


def test_request_numbers_in_flight_used_again(stage):
    """The appliance answers in order and keeps nothing by number: only the agent is confused."""
    with stage.hostile() as wire:
        body = message.RECORDS[message.VIEWS_GET].pack(message.DISK, 0)
        wire.send_raw(b"".join([FRAME.pack(len(body), message.VIEWS_GET, 0, 7) + body] * 500))
        answers = [wire.receive() for _ in range(500)]
        assert {(name, request) for name, _, request in answers} == {("VIEWS", 7)}
        _honest(stage, 1)


def test_auth_twice_ends_the_connection(stage):
    for _ in range(20):
        with stage.hostile() as wire:
            wire.send("AUTH", *stage.victim)
            assert wire.refusal().name == "PROTOCOL"


def test_tiny_packs(stage):
    """One chunk of a byte each: as many as a backup takes in the time; given up, nothing of them stays."""
    heap, rows = _heap(stage), stage.rows(catalog.PACKS)
    sent = [0]

    def work():
        with stage.hostile() as wire:
            grant = begin(wire)
            for number in range(3000):
                craft.send(wire, pack.DATA, grant, [b"%d" % number], grant.next_data + number)
                sent[0] += 1
            wire.ask("ABANDON", expect="ABANDONED")

    with _Flood(work) as flood:
        _honest(stage)
        _wait(lambda: flood.turns >= 2)
    assert _heap(stage) < heap + _HEAP_BYTES
    with stage.hostile() as wire:
        begin(wire)
        wire.ask("ABANDON", expect="ABANDONED")
    assert stage.rows(catalog.PACKS) <= rows + 3 * _ROUNDS, "%d packs were sent" % sent[0]


@pytest.mark.parametrize("label", ["", "\n" * 64, "\x1b[2J\x1b]0;gone\x07", "../" * 21, "%s%n%d", "é" * 32, "\u202egnp.exe"])
def test_silly_labels(stage, label):
    with stage.hostile() as wire:
        grant = begin(wire)
        craft.send(wire, pack.NODES, grant, [craft.node([])])
        view = wire.ask("COMMIT", grant.group, grant.next_node, 1, 0, 0, label, expect="COMMITTED").view
        rows = wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views
        assert [row[7].rstrip(b"\0") for row in rows if row[0] == view] == [label.encode()], (
            "given back as it came, to its owner alone"
        )
    assert not [line for line in stage.log() if "\x1b" in line or "\n" in line]


def test_labels_that_are_too_long_or_no_text(stage):
    for label in (b"x" * 65, b"\xff\xfe", b"\xc3"):
        with stage.hostile() as wire:
            grant = begin(wire)
            craft.send(wire, pack.NODES, grant, [craft.node([])])
            good = message.RECORDS[message.COMMIT].pack(grant.group, grant.next_node, 1, 0, 0, "")
            wire.send_body(message.COMMIT, good[:-4] + len(label).to_bytes(4, "little") + label)
            assert wire.refusal().name in ("PROTOCOL", "LIMIT"), label


def test_the_disk_is_filled(stage):
    """Until it is refused: the reserve is untouched, others restore, are told why they cannot back up, and can when there is room."""
    views = []
    with pytest.raises(Refusal) as refusal:
        for _ in range(1000):
            with stage.hostile() as wire:
                views.append(tree.backup(wire, {b"fill": fresh(8 << 20)}))
    assert refusal.value.name == "FULL" and "full" in refusal.value.text
    usage = stage.door.ask("usage")
    assert usage["free_segments"] * usage["segment_bytes"] >= usage["reserve_bytes"] > 0, usage
    with stage.honest() as wire:
        assert tree.restore(wire, stage.view) == SECRET
        with pytest.raises(Refusal) as told:
            tree.backup(wire, {b"new": fresh(1 << 20)})
        assert told.value.name == "FULL" and told.value.text
    for view in views:
        stage.door.ask("delete %d %d" % (stage.intruder_id, view))
    stage.rows(catalog.GROUPS)  # the collector has done its work
    _honest(stage)
