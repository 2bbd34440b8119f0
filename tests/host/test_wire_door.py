"""The agents' door over real TLS sockets, on both interpreters: honest work, backpressure, shutdown."""

import os

import pytest

from firmware.formats import message, pack
from firmware.formats.refusal import CODES
from tests.lab import tree
from tests.lab.door_client import DoorProcess
from tests.lab.wire import Wire, known

_FILES = {b"empty": b"", b"small": b"hello", b"large \xff": os.urandom(3 << 20), b"zeros": bytes(1 << 20)}


@pytest.fixture(params=("micropython", "cpython"))
def door(request, tmp_path):
    with DoorProcess(tmp_path, request.param == "cpython") as process:
        yield process


@pytest.fixture
def identity(door):
    with Wire(door.address) as wire:
        wire.hello()
        return wire.pair(door.code)


def test_backup_and_restore(door, identity):
    with known(door.address, identity) as wire:
        views = [tree.backup(wire, _FILES), tree.backup(wire, {b"one": b"1"})]
    with known(door.address, identity) as wire:
        assert tree.restore(wire, views[0]) == _FILES
        assert tree.restore(wire, views[1]) == {b"one": b"1"}


def test_only_tls_1_3(door):
    with Wire(door.address) as wire:
        assert wire.socket.version() == "TLSv1.3"
        wire.hello()


def test_a_client_that_does_not_read_holds_up_nobody(door, identity):
    with known(door.address, identity) as wire:
        view = tree.backup(wire, {b"large": os.urandom(4 << 20)})
        root = message.VIEW.tuple(*wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views[-1])
        deaf = known(door.address, identity)
        for _ in range(8):
            deaf.send("ITEMS_GET", message.DISK, pack.DATA, [(root.root_group, 0, 0xFFFFFFFF, 0, 0)])
        assert len(tree.restore(wire, view)[b"large"]) == 4 << 20
        deaf.close()


def test_shutdown_is_told(door, identity):
    idle, busy = known(door.address, identity), known(door.address, identity)
    busy.ask("BEGIN", 1, 1, expect="GRANT")
    stranger = Wire(door.address)
    stranger.hello()
    door.end()
    for wire in (idle, busy, stranger):
        assert wire.refusal().code == CODES["SHUTDOWN"]
        assert wire.closed()
        wire.close()


def test_a_cut_connection_frees_its_slot_and_the_backup_goes_on(door, identity):
    wire = known(door.address, identity)
    grant = wire.ask("BEGIN", 1, 1, expect="GRANT")
    tree.send(wire, 0, grant.group, 0, [b"chunk"])
    wire.ask("SYNC", expect="SYNCED")
    wire.close()
    with known(door.address, identity) as wire:
        again = wire.ask("BEGIN", 1, 1, expect="GRANT")
        assert (again.group, again.next_data) == (grant.group, 1)
        wire.ask("ABANDON", expect="ABANDONED")
    assert door.status()["backups"] == 0
