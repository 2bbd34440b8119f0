"""A session whose TLS another process decodes: the same conversation, and no process that stays."""

import os
import signal

import pytest

from agent_pc import pump, state
from agent_pc.exits import Cut
from agent_pc.session import Session
from firmware.formats import pack
from tests.agent.rig import snapshot


@pytest.fixture
def agent(appliance, tmp_path, request):
    return appliance.agent("".join(letter for letter in request.node.name if letter.isalnum())[:40], tmp_path)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Threads that other tests left in this process are no reason against a pump: they hold no lock that it needs."""
    monkeypatch.setattr(pump.threading, "active_count", lambda: 1)


def test_with_other_threads_there_is_no_pump(monkeypatch):
    monkeypatch.setattr(pump.threading, "active_count", lambda: 2)
    connection = object()
    assert pump.start(connection) is connection


@pytest.fixture
def opened(agent):
    """(pumped session, process that decodes)."""
    session = Session.open(state.load(agent.directory), pumped=True)
    end = session.channel._socket
    assert isinstance(end, pump.Pumped)
    yield session, end._child
    session.close()


def test_it_says_the_same_and_ends_with_its_session(agent, opened, tmp_path):
    session, child = opened
    (tmp_path / "file").write_bytes(os.urandom(3 << 20))
    assert agent.run("backup", tmp_path / "file") == 0
    [view] = session.views()[1]
    [(_, root)] = [(view, node) for node in session.items(pack.NODES, [(view.root_group, view.root_index)])]
    assert root
    os.kill(child, 0)
    session.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
    with pytest.raises(Cut):
        session.views()


def test_a_dead_pump_is_a_cut(opened):
    session, child = opened
    session.views()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(Cut):
        session.views()


def test_what_a_dead_agent_leaves_ends_by_itself(opened):
    session, child = opened
    session.channel._socket.shutdown(2)  # as the kernel does when the agent is killed
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_restore_receives_few_and_large_pieces(agent, tmp_path, monkeypatch):
    """Not one for every TLS record of 16 KiB."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(32):
        (folder / str(number)).write_bytes(os.urandom(1 << 20))
    assert agent.run("backup", folder) == 0
    sizes: list = []
    receive = pump.Pumped.recv_into
    monkeypatch.setattr(pump.Pumped, "recv_into", lambda self, view: sizes.append(receive(self, view)) or sizes[-1])
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert snapshot(tmp_path / "out" / str(folder)[1:]) == snapshot(folder)
    assert sum(sizes) > 32 << 20 and len(sizes) < (32 << 20) // 16384 // 3
