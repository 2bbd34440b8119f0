"""The network is cut after every frame, in each direction: of a pairing, a backup with proofs, a restore. Real sockets, a real agent.

Frames are counted as TLS records, from outside: each frame begins with a record of its own, so no frame is left out. Each cut
is made twice: what was sent arrives and then the line ends, or the line is reset and what was on its way is lost.
"""

import itertools
import os

import pytest

from agent_pc import state
from agent_pc.backup import Options, backup
from agent_pc.cache import Cache
from agent_pc.exits import AgentError
from agent_pc.restore import job
from agent_pc.session import Session
from firmware.formats.refusal import Refusal
from tests.agent.rig import Agent, snapshot
from tests.lab.cutter import Cutter

_WAYS = list(itertools.product((0, 1), (True, False)))
_IDS = [
    f"{'to the agent' if direction else 'to the appliance'}, {'ended' if gently else 'reset'}" for direction, gently in _WAYS
]
_SHARED = os.urandom(50_000)
_TIME_NS = 1_600_000_000_000_000_000


@pytest.fixture
def cutter(appliance):
    made = Cutter(("127.0.0.1", appliance.port))
    yield made
    made.close()


def _through(agent, cutter) -> Session:
    told = state.load(agent.directory)
    told.port = cutter.port
    return Session.open(told)


def _tree(folder):
    """Alike each time, so that the frames are: new contents, and one file that an earlier view holds. Nobody wrote to it lately."""
    os.makedirs(folder / "sub")
    for name, data in (("a", os.urandom(30_000)), ("sub/b", os.urandom(30_000)), ("empty", b""), ("shared", _SHARED)):
        (folder / name).write_bytes(data)
        os.utime(folder / name, ns=(_TIME_NS, _TIME_NS))
    return folder


def _backup(session, folder) -> int:
    with session:
        result = backup(session, [str(folder)], Cache(None), Options(wait_s=30))
    assert not result.problems, result.problems
    return result.view


def _views(agent) -> list:
    with agent.session() as session:
        return [row.view for row in session.views()[1]]


def _restore(agent, view: int, out) -> None:
    with agent.session() as session:
        job.restore(session, [], view, os.fsencode(out), job.Options(existing="overwrite"))


def _cuts(cutter, direction: int, gently: bool, whole: int):
    """Arm the cutter before every record of the `whole`; yield how many pass."""
    for record in range(whole):
        cutter.cut_record(direction, record, gently)
        yield record


@pytest.mark.parametrize("direction,gently", _WAYS, ids=_IDS)
def test_backup(appliance, tmp_path, cutter, direction, gently):
    """Cut before COMMIT: nothing is listed. After it: at most that one view, and it is whole. The next attempt always completes."""
    agent = appliance.agent(f"frames-backup-{direction}{gently}", tmp_path)
    _backup(agent.session(), _tree(tmp_path / "first"))
    _backup(_through(agent, cutter), _tree(tmp_path / "whole"))
    listed = _views(agent)
    for record in _cuts(cutter, direction, gently, cutter.records[-1][direction]):
        folder = _tree(tmp_path / f"tree{record}")
        committed, acknowledged = [], []
        try:
            with _through(agent, cutter) as session:
                commit = session.commit
                session.commit = lambda *values, commit=commit, told=committed: told.append(1) or commit(*values)
                acknowledged.append(_backup(session, folder))
        except AgentError:
            pass
        now = _views(agent)
        assert now[: len(listed)] == listed, "an acknowledged view is gone"
        assert len(now) - len(listed) <= len(committed), "a view that nobody committed is listed"
        assert set(acknowledged) <= set(now)
        now = now if acknowledged else [*now, _backup(agent.session(), folder)]
        assert _views(agent) == now
        for view in now[len(listed) :]:
            _restore(agent, view, tmp_path / f"out{view}")
            assert snapshot(f"{tmp_path}/out{view}{folder}") == snapshot(folder), (record, view)
        listed = now


@pytest.mark.parametrize("direction,gently", _WAYS, ids=_IDS)
def test_restore(appliance, tmp_path, cutter, direction, gently):
    """Whatever has its name is whole; run again it completes."""
    agent = appliance.agent(f"frames-restore-{direction}{gently}", tmp_path)
    folder = _tree(tmp_path / "tree")
    view = _backup(agent.session(), folder)
    with _through(agent, cutter) as session:
        job.restore(session, [], view, os.fsencode(tmp_path / "whole"))
    expected = snapshot(folder)
    contents = {os.path.basename(path): row[5] for path, row in expected.items() if len(row) > 7}
    for record in _cuts(cutter, direction, gently, cutter.records[-1][direction]):
        out = tmp_path / f"out{record}"
        try:
            with _through(agent, cutter) as session:
                job.restore(session, [], view, os.fsencode(out))
        except AgentError:
            pass
        for path, row in snapshot(out).items() if out.exists() else ():
            name = os.path.basename(path)
            assert name not in contents or row[5] == contents[name], (record, path)
        _restore(agent, view, out)
        assert snapshot(f"{out}{folder}") == expected, record


@pytest.mark.parametrize("direction,gently", _WAYS, ids=_IDS)
def test_pairing(appliance, tmp_path, cutter, direction, gently):
    """Before the code is used up it works again; after it another one makes the agent whole. What the client had stays."""
    name = f"frames-pair-{direction}{gently}"
    agent = appliance.agent(name, tmp_path)
    _backup(agent.session(), _tree(tmp_path / "tree"))
    views = _views(agent)
    code = appliance.ask(f"client-again {name}")
    assert agent.run("pair", code, "--host", f"127.0.0.1:{cutter.port}") == 0
    for record in _cuts(cutter, direction, gently, cutter.records[-1][direction]):
        agent = Agent(os.path.join(tmp_path, f"again{record}"))
        code = appliance.ask(f"client-again {name}")
        cut = agent.run("pair", code, "--host", f"127.0.0.1:{cutter.port}")
        if cut != 0:
            with pytest.raises((AgentError, Refusal)):
                agent.session()
            if agent.run("pair", code, "--host", f"127.0.0.1:{appliance.port}") != 0:
                code = appliance.ask(f"client-again {name}")
                assert agent.run("pair", code, "--host", f"127.0.0.1:{appliance.port}") == 0, record
        assert _views(agent) == views, record
