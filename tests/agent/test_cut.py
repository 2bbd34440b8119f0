"""The network is cut after so many bytes, in each direction, from the first byte of the handshake to the last: backup and restore end well."""

import os

import pytest

from agent_pc import state
from agent_pc.backup import Options, backup
from agent_pc.cache import Cache
from agent_pc.exits import AgentError, Cut
from agent_pc.restore import job
from agent_pc.session import Session
from tests.agent.rig import snapshot
from tests.lab.cutter import Cutter

_POINTS = 5  # cuts in each direction, and three at the ends
_CHUNK_FILES = 6
_TIME = 1_600_000_000  # nobody wrote to them lately: nothing is waited for


@pytest.fixture
def cutter(appliance):
    made = Cutter(("127.0.0.1", appliance.port))
    yield made
    made.close()


def _session(agent, cutter) -> Session:
    told = state.load(agent.directory)
    told.port = cutter.port
    return Session.open(told)


def _persistent(agent, cutter) -> Session:
    """As the service: whoever is cut off while connecting tries again."""
    for _ in range(5):
        try:
            return _session(agent, cutter)
        except (Cut, AgentError):
            continue
    raise AssertionError("no connection")


def _tree(folder):
    """New contents each time: nothing of it is held by anybody."""
    os.makedirs(folder / "sub")
    for number in range(_CHUNK_FILES):
        (folder / ("sub" if number % 2 else ".") / f"f{number}").write_bytes(os.urandom(40_000))
        os.utime(folder / ("sub" if number % 2 else ".") / f"f{number}", (_TIME, _TIME))
    (folder / "empty").touch()
    os.utime(folder / "empty", (_TIME, _TIME))
    return folder


def _backup(agent, cutter, folder) -> tuple:
    """(Result, bytes of the stream to the appliance in each connection) of a backup over whatever the cutter does."""
    before = len(cutter.passed)
    sessions = []

    def connect() -> Session:
        sessions.append(_persistent(agent, cutter))
        return sessions[-1]

    try:
        result = backup(connect(), [str(folder)], Cache(None), Options(wait_s=30), reconnect=connect)
    finally:
        for session in sessions:
            session.close()
    return result, [row[0] for row in cutter.passed[before:]]


def _points(whole: int) -> list:
    return sorted({1, 100, 600, whole - 1} | {whole * at // _POINTS for at in range(1, _POINTS)})


@pytest.mark.parametrize("direction", [0, 1], ids=["to the appliance", "to the agent"])
def test_backup_cut_anywhere(appliance, tmp_path, cutter, direction):
    agent = appliance.agent(f"cut-backup-{direction}", tmp_path)
    _backup(agent, cutter, _tree(tmp_path / "whole"))
    whole = cutter.passed[-1]
    views = 1
    for after in _points(whole[direction]):
        folder = _tree(tmp_path / f"cut{after}")
        cutter.cut(direction, after)
        result, sent = _backup(agent, cutter, folder)
        views += 1
        assert result.counts.files == _CHUNK_FILES + 1 and not result.problems, after
        with _persistent(agent, cutter) as session:
            listed = session.views()[1]
            assert listed[-1].view == result.view
            assert len(listed) in (views, views + 1), "at most the view whose acknowledgement was lost is listed besides"
            views = len(listed)
            out = tmp_path / f"out{after}"
            job.restore(session, [], result.view, os.fsencode(out))
        assert snapshot(f"{out}{folder}") == snapshot(folder), after


@pytest.mark.parametrize("direction", [0, 1], ids=["to the appliance", "to the agent"])
def test_restore_cut_anywhere(appliance, tmp_path, cutter, direction):
    """Cut short it says so and leaves no half file under its name; run again it completes what is missing."""
    agent = appliance.agent(f"cut-restore-{direction}", tmp_path)
    folder = _tree(tmp_path / "source")
    result, _ = _backup(agent, cutter, folder)
    with _persistent(agent, cutter) as session:
        job.restore(session, [], result.view, os.fsencode(tmp_path / "whole"))
    whole = cutter.passed[-1]
    for after in _points(whole[direction]):
        out = tmp_path / f"out{after}"
        cutter.cut(direction, after)
        try:
            with _session(agent, cutter) as session:
                job.restore(session, [], result.view, os.fsencode(out))
        except (Cut, AgentError):
            pass
        for path, row in snapshot(out).items() if out.exists() else ():
            name = os.path.basename(path)
            if name.startswith(b"f"):
                assert row[5] in {
                    (folder / sub / os.fsdecode(name)).read_bytes()
                    for sub in (".", "sub")
                    if (folder / sub / os.fsdecode(name)).exists()
                }, (after, path)
        with _persistent(agent, cutter) as session:
            job.restore(session, [], result.view, os.fsencode(out), job.Options(existing="overwrite"))
        assert snapshot(f"{out}{folder}") == snapshot(folder), after
