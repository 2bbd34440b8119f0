"""What a connection costs the appliance before it has authenticated, counted in the interpreter that it runs on."""

import time

from firmware.formats import message
from firmware.formats.frame import FRAME
from firmware.net import server
from tests.lab.door_client import DoorProcess
from tests.lab.wire import Wire

_LIMIT_BYTES = 64 << 10
_COUNT = 24


def _settled(door, sessions: int) -> dict:
    """Status once there are so many sessions."""
    for _ in range(200):
        status = door.status()
        if status["sessions"] == sessions:
            return status
        time.sleep(0.05)
    raise AssertionError("expected %d sessions, got %s" % (sessions, status))


def _source(number: int) -> str:
    return "127.0.0.%d" % (10 + number // server.UNKNOWN_PEER)


def _stuck(door, number: int) -> Wire:
    """A connection that has said HELLO and begun the longest frame that a stranger may send."""
    wire = Wire(door.address, _source(number))
    wire.hello()
    record = message.RECORDS[message.PAIR]
    wire.send_raw(FRAME.pack(record.size + 4 + 128, message.PAIR, 0, 1) + bytes(100))
    return wire


def _drop(wires: list) -> None:
    for wire in wires:
        wire.close()


def test_strangers_take_at_most_64_kib_each(tmp_path):
    with DoorProcess(tmp_path) as door:
        _stuck(door, 0).close()
        empty = _settled(door, 0)
        resident = door.resident_bytes()
        wires = [_stuck(door, number) for number in range(_COUNT)]
        full = _settled(door, _COUNT)
        each = (full["heap_bytes"] - empty["heap_bytes"]) / _COUNT
        each_resident = (door.resident_bytes() - resident) / _COUNT
        print("bytes of heap for each connection: %d; resident: %d" % (each, each_resident))
        assert 0 < each <= _LIMIT_BYTES and each_resident <= _LIMIT_BYTES
        _drop(wires)
        # The collector takes stale words for pointers and keeps some for a while: nothing must come to that.
        first = _settled(door, 0)
        for _ in range(3):
            _drop([_stuck(door, number) for number in range(_COUNT)])
            last = _settled(door, 0)
        assert last["heap_bytes"] - first["heap_bytes"] < _LIMIT_BYTES


def test_too_many_strangers_are_turned_away_and_known_clients_are_not(tmp_path):
    with DoorProcess(tmp_path) as door:
        with Wire(door.address) as wire:
            wire.hello()
            identity = wire.pair(door.code)
            wire.auth(*identity)
            wires = []
            for _ in range(server.UNKNOWN_PEER + 4):
                try:
                    wires.append(Wire(door.address, "127.0.0.9"))
                except OSError:
                    pass
            assert len(wires) <= server.UNKNOWN_PEER
            assert door.status()["refused"] >= 4
            wire.ask("STATUS_GET", expect="STATUS")
            with Wire(door.address, "127.0.0.8") as other:
                other.hello()
                other.auth(*identity)
