"""Every error: one line, its own exit status, never a traceback. The table of statuses is unique."""

import json
import os
import socket
import threading

import pytest

from agent_pc import exits, state
from agent_pc.cli import _MODULES, commands, main
from firmware.formats.refusal import EXIT_STATUS
from tests.agent.rig import Agent, told


def _error(capsys, expected: int, agent: Agent, *arguments) -> str:
    capsys.readouterr()
    status = agent.run(*arguments)
    captured = capsys.readouterr()
    assert status == expected, captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("bobbin: "), captured.err
    return lines[0]


@pytest.fixture
def unpaired(tmp_path):
    return Agent(str(tmp_path / "state"))


def test_statuses_are_unique_and_agree_with_the_refusals():
    assert len(set(exits.STATUS.values())) == len(exits.TABLE)
    assert set(EXIT_STATUS.values()) <= set(exits.STATUS.values())


def test_help_of_every_command(capsys):
    assert [row[0] for row in commands()] == [verb for _, verbs in _MODULES for verb in verbs]
    for row in commands():
        with pytest.raises(SystemExit) as end:
            main([row[0], "--help"])
        assert end.value.code == 0 and "exit status:" in capsys.readouterr().out


def test_usage(capsys):
    for arguments in ([], ["backup"], ["nonsense"], ["restore", "x"], ["ls", "--view", "x"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()) == 1


def test_not_paired(capsys, unpaired):
    for arguments in (("views",), ("ls",), ("status",), ("backup", "/etc"), ("restore", "--to", "/tmp/x")):
        assert "bobbin pair" in _error(capsys, 5, unpaired, *arguments)


def test_broken_state(capsys, unpaired):
    os.mkdir(unpaired.directory)
    with open(unpaired.directory + "/appliance.json", "w") as file:
        file.write('{"host": 1}')
    assert "pair again" in _error(capsys, 17, unpaired, "views")


def test_pairing_codes(capsys, appliance, tmp_path):
    agent = Agent(str(tmp_path / "state"))
    where = f"127.0.0.1:{appliance.port}"
    code = appliance.ask("client pairs")
    assert "16 letters" in _error(capsys, 5, agent, "pair", "1234", "--host", where)
    assert "fingerprint" in _error(capsys, 4, agent, "pair", ("1" if code[0] != "1" else "2") + code[1:], "--host", where)
    assert "wrong, used or expired" in _error(
        capsys, 5, agent, "pair", code[:-1] + ("1" if code[-1] != "1" else "2"), "--host", where
    )
    assert agent.run("pair", code.lower().replace("-", " "), "--host", where) == 0
    assert "wrong, used or expired" in _error(capsys, 5, Agent(str(tmp_path / "other")), "pair", code, "--host", where)
    for path in (agent.directory, agent.directory + "/appliance.json"):
        assert os.stat(path).st_mode & 0o077 == 0
    with open(agent.directory + "/appliance.json") as file:
        assert len(json.load(file)["token"]) == 64


def test_wrong_certificate_sends_nothing(capsys, appliance, tmp_path):
    agent = appliance.agent("pinned", tmp_path)
    held = state.load(agent.directory)
    held.certificate = held.certificate[:-1] + bytes([held.certificate[-1] ^ 1])
    held.save()
    assert "nothing was sent" in _error(capsys, 4, agent, "views")


def test_wrong_token(capsys, appliance, tmp_path):
    agent = appliance.agent("token", tmp_path)
    held = state.load(agent.directory)
    held.token = bytes(32)
    held.save()
    assert "pair" in _error(capsys, 6, agent, "views")


def test_nobody_there(capsys, appliance, tmp_path):
    agent = appliance.agent("nobody", tmp_path)
    held = state.load(agent.directory)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        held.port = closed.getsockname()[1]
    held.save()
    _error(capsys, 16, agent, "views")
    assert told(capsys, agent, "views")[1]["error"]["status"] == 16


def test_somebody_else_there(capsys, appliance, tmp_path):
    agent = appliance.agent("else", tmp_path)
    held = state.load(agent.directory)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        held.port = server.getsockname()[1]
        held.save()
        assert "TLS" in _error(capsys, 16, agent, "views")
        thread.join()


def test_what_is_not_there(capsys, appliance, tmp_path):
    agent = appliance.agent("missing", tmp_path)
    assert "no view" in _error(capsys, 8, agent, "ls")
    assert "nosuch" in _error(capsys, 15, agent, "backup", tmp_path / "nosuch")
    (tmp_path / "d").mkdir()
    assert agent.run("backup", tmp_path / "d") == 0
    assert "view 9" in _error(capsys, 8, agent, "ls", "--view", 9)
    assert "not in view 1" in _error(capsys, 8, agent, "ls", "/nosuch")
    assert "not in view 1" in _error(capsys, 8, agent, "restore", "/nosuch", "--to", tmp_path / "out")
    assert "tape" in _error(capsys, 12, agent, "views", "--source", "tape")
    (tmp_path / "file").write_text("")
    assert "cannot restore there" in _error(capsys, 2, agent, "restore", "--to", tmp_path / "file")


def test_one_backup_at_a_time(capsys, appliance, tmp_path):
    agent = appliance.agent("twice", tmp_path)
    with state.load(agent.directory).lock():
        assert "another backup" in _error(capsys, 9, agent, "backup", tmp_path)
        assert agent.run("views") == 0
    (tmp_path / "d").mkdir()
    assert agent.run("backup", tmp_path / "d") == 0


def test_a_broken_cache_is_made_again(capsys, appliance, tmp_path):
    agent = appliance.agent("cache", tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("12345")
    assert agent.run("backup", tmp_path / "d") == 0
    with open(state.load(agent.directory).cache_path, "r+b") as file:
        file.write(os.urandom(5000))
    status, result = told(capsys, agent, "backup", tmp_path / "d")
    assert status == 0 and result["unchanged"] == 1


def test_progress_without_a_terminal(capsys, appliance, tmp_path):
    agent = appliance.agent("progress", tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(os.urandom(100_000))
    capsys.readouterr()
    assert agent.run("backup", tmp_path / "d", "--progress", "always") == 0
    assert "backup" in capsys.readouterr().err
    assert agent.run("restore", "--to", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""


def test_views_and_status(capsys, appliance, tmp_path):
    agent = appliance.agent("looks", tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("12345")
    assert agent.run("backup", tmp_path / "d", "--label", "first") == 0
    status, found = told(capsys, agent, "views")
    assert status == 0 and found["tape"] is None
    assert [(row["view"], row["files"], row["bytes"], row["label"]) for row in found["views"]] == [(1, 1, 5, "first")]
    for file in os.listdir(agent.directory):
        if file.startswith("cache"):
            os.unlink(os.path.join(agent.directory, file))
    assert told(capsys, agent, "views")[1] == found  # the appliance keeps the label
    assert agent.run("backup", tmp_path / "d", "--label", "ä" * 33) == exits.STATUS["USAGE"]
    status, found = told(capsys, agent, "status")
    assert status == 0 and found["client"] == "looks" and found["appliance"]["views"] == 1
