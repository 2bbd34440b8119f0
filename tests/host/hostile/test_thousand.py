"""A thousand agents connected at once: what an idle connection costs, that one more client is served, that nothing is left of them."""

import resource
import time

import pytest

from firmware.net import server
from tests.host.hostile import stage as stages
from tests.lab import tree
from tests.lab.wire import known

_AGENTS = 1000
_CLIENT_SESSIONS = server.SESSIONS_CLIENT
_IDLE_BYTES = 64 << 10  # of the whole process, for each connection: mbedTLS's buffers, the session, its task


@pytest.fixture
def descriptors():
    """Enough of them in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 4096), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _settled(stage, sessions: int) -> dict:
    for _ in range(600):
        status = stage.door.status()
        if status["sessions"] == sessions:
            return status
        time.sleep(0.05)
    raise AssertionError("expected %d sessions, got %s" % (sessions, status))


def _connected(stage, identities: list, count: int, wires: list) -> None:
    for number in range(count):
        wires.append(known(stage.door.address, identities[number // _CLIENT_SESSIONS]))


def _gone(stage, wires: list) -> dict:
    for wire in wires:
        wire.close()
    wires.clear()
    return _settled(stage, 0)


def test_a_thousand_agents(stage, descriptors):
    told = stage.door.ask("crowd %d" % (_AGENTS // _CLIENT_SESSIONS))["identities"]
    identities = [(bytes.fromhex(uuid), bytes.fromhex(token)) for uuid, token in told]
    empty = _settled(stage, 0)
    resident = stage.door.resident_bytes()
    wires = []
    try:
        _connected(stage, identities, _AGENTS, wires)
        full = _settled(stage, _AGENTS)
        each = (stage.door.resident_bytes() - resident) / _AGENTS
        heap = (full["heap_bytes"] - empty["heap_bytes"]) / _AGENTS
        print("an idle connection costs %d bytes, %d of them in the interpreter's heap" % (each, heap))
        assert each < _IDLE_BYTES
        with stage.honest() as wire:
            assert tree.restore(wire, stage.view) == stages.SECRET
            tree.backup(wire, {b"new": stages.fresh(1 << 20)})
        for wire in wires:
            wire.send("STATUS_GET")
        for wire in wires:
            wire.answer("STATUS")
        assert stage.peak_bytes() < stages.PEAK_BYTES
        first = _gone(stage, wires)
        # The collector takes stale words for pointers and keeps some sessions: nothing may come to those.
        _connected(stage, identities, _AGENTS // 4, wires)
        again = _gone(stage, wires)
        assert again["heap_bytes"] - first["heap_bytes"] < _AGENTS // 16 * heap
    finally:
        _gone(stage, wires)
