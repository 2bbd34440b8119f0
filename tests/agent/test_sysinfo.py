"""agent_pc.sysinfo: collected, carried by every view, shown, restored by name; nothing missing fails a backup."""

import json
import os
import time

import pytest

from agent_pc.exits import STATUS
from agent_pc.sysinfo import collect, table
from tests.agent.rig import told


def _parts(document):
    return {part["name"]: part for part in document["parts"]}


_ROWS = table.ROWS


def test_what_is_asked_for_is_there(monkeypatch):
    monkeypatch.setattr(table, "ROWS", _ROWS)
    made = collect.collect()
    names = _parts(made)
    wanted = {row[0] for row in table.ROWS if row[1] not in (table.FILES, table.DISKS)}
    assert wanted <= set(names)
    assert all(("text" in part) != ("missing" in part) for part in made["parts"])
    assert "proc" in names["mounted file systems"]["text"] and names["boot by UEFI"]["text"] in ("yes", "no")
    again = _parts(collect.collect())
    assert {name for name in names if again[name] != names[name]} <= {
        "block devices",
        "mounted file systems",
    }  # other tests mount


def test_what_goes_wrong_is_noted(monkeypatch, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"\xff" * 100)
    rows = (
        ("none", table.FILE, (str(tmp_path / "no"),)),
        ("folder", table.FILE, (str(tmp_path),)),
        ("large", table.FILE, (str(large),)),
        ("program", table.COMMAND, ("no-such-program", "-v")),
        ("fails", table.COMMAND, ("false",)),
        ("hangs", table.COMMAND, ("sleep", "60")),
        ("floods", table.COMMAND, ("head", "-c", "100", "/dev/zero")),
    )
    monkeypatch.setattr(table, "ROWS", rows)
    monkeypatch.setattr(collect, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(collect, "_BYTES", 10)
    parts = _parts(collect.collect())
    missing = {name: part["missing"] for name, part in parts.items() if "missing" in part}
    assert missing == {
        "none": "no such file",
        "folder": "Is a directory",
        "program": "not installed",
        "fails": "exit status 1",
        "hangs": "no end after 0.2 s",
    }
    assert parts["large"]["text"].startswith("\\xff" * 10 + "\n(cut") and "cut after 10" in parts["floods"]["text"]


def test_it_is_collected_again_when_something_changed(monkeypatch, tmp_path):
    watched = tmp_path / "fstab"
    watched.write_text("one")
    monkeypatch.setattr(table, "WATCHED", (str(watched),))
    monkeypatch.setattr(table, "TOUCHED", ())
    monkeypatch.setattr(table, "ROWS", (("it", table.FILE, (str(watched),)),))
    calls = []
    real = collect.collect
    monkeypatch.setattr(collect, "collect", lambda: calls.append(1) or real())
    state = tmp_path / "state"
    state.mkdir()
    [(name, folder)] = collect.refresh(str(state))
    assert name == b".bobbin" and os.listdir(folder) == [b"system.json"]
    before = os.stat(folder + b"/system.json").st_mtime_ns
    assert collect.refresh(str(state)) and len(calls) == 1
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert collect.refresh(str(state)) and len(calls) == 2  # a day later: looked at, the same, not touched
    assert os.stat(folder + b"/system.json").st_mtime_ns == before
    watched.write_text("two")
    assert collect.refresh(str(state)) and len(calls) == 3
    assert "two" in open(folder + b"/system.json").read()  # noqa: SIM115
    (state / "recovery.json").write_text("[]")
    assert collect.refresh(str(state)) and len(calls) == 4
    assert collect.refresh("/proc/no/such") == []


@pytest.fixture
def agent(appliance, tmp_path, request):
    made = appliance.agent(request.node.name.replace("_", "-")[:40], tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("12345")
    return made


def test_every_view_carries_it(agent, capsys, tmp_path):
    assert agent.run("backup", tmp_path / "tree") == 0
    status, found = told(capsys, agent, "sysinfo")
    assert status == 0 and found == json.loads(json.dumps(collect.collect()))
    status, found = told(capsys, agent, "sysinfo", "1")
    assert status == 0 and found["version"] == 1
    assert agent.run("sysinfo") == 0 and "== packages" in capsys.readouterr().out
    status, second = told(capsys, agent, "backup", tmp_path / "tree")
    assert status == 0 and second["unchanged"] == second["files"] == 1 and second["chunk_bytes"] == 0  # it costs nothing
    assert agent.run("restore", "--to", tmp_path / "all") == 0
    assert not (tmp_path / "all" / ".bobbin").exists()
    assert agent.run("restore", "/.bobbin", "--to", tmp_path / "named") == 0
    assert json.loads((tmp_path / "named/.bobbin/system.json").read_text()) == found
    assert agent.run("sysinfo", "9") == STATUS["NOT_FOUND"]


def test_a_backup_of_the_root_carries_it(agent, monkeypatch, capsys, tmp_path):
    """A root of our own: the scan is told that "/" is a small tree."""
    real, tree = os.open, os.fsencode(tmp_path / "tree")
    (tmp_path / "tree" / "f").write_text("")  # nobody would find it to read it
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: real(tree if path == b"/" else path, *rest, **more))
    assert agent.run("backup", "/", "--one-file-system") == 0
    status, found = told(capsys, agent, "ls", "/")
    assert [row["name"] for row in found["entries"]] == [".bobbin", "f"]
    assert told(capsys, agent, "sysinfo")[0] == 0
    status, second = told(capsys, agent, "backup", "/", "--one-file-system")
    assert second["nodes"] == 0


def test_a_view_without_it(agent, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "refresh", lambda directory: [])
    assert agent.run("backup", tmp_path / "tree") == 0
    assert agent.run("sysinfo") == STATUS["NOT_FOUND"]
