"""agent_pc.sysinfo: collected, carried by every view, shown, restored by name; nothing missing fails a backup."""

import json
import os
import shutil
import subprocess
import time

import pytest

from agent_pc.exits import STATUS
from agent_pc.sysinfo import collect, debian, keep, table
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
    [(name, folder)] = keep.refresh(str(state))
    assert name == b".bobbin" and os.listdir(folder) == [b"system.json"]
    before = os.stat(folder + b"/system.json").st_mtime_ns
    assert keep.refresh(str(state)) and len(calls) == 1
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert keep.refresh(str(state)) and len(calls) == 2  # a day later: looked at, the same, not touched
    assert os.stat(folder + b"/system.json").st_mtime_ns == before
    watched.write_text("two")
    assert keep.refresh(str(state)) and len(calls) == 3
    assert "two" in open(folder + b"/system.json").read()  # noqa: SIM115
    (state / "recovery.json").write_text("[]")
    assert keep.refresh(str(state)) and len(calls) == 4
    assert keep.refresh("/proc/no/such") == []


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
    monkeypatch.setattr(keep, "refresh", lambda directory: [])
    assert agent.run("backup", tmp_path / "tree") == 0
    assert agent.run("sysinfo") == STATUS["NOT_FOUND"]


_STATUS = """\
Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21

Package: libc6
Status: install ok installed
Multi-Arch: same
Architecture: i386
Version: 2:2.36
Description: a library
 Package: no field, but a description

Package: doc
Status: install ok installed
Architecture: all
Version: 3

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 4
"""


def test_packages_are_read_as_debian_keeps_them(tmp_path):
    (tmp_path / "status").write_text(_STATUS)
    (tmp_path / "states").write_text(
        "Package: doc\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: dpkg\nAuto-Installed: 0\n"
    )
    assert (
        debian.packages(tmp_path / "status")
        == "doc 3 installed\ndpkg 1.21 installed\ngone 4 config-files\nlibc6:i386 2:2.36 installed\n"
    )
    assert debian.wanted(tmp_path / "status", tmp_path / "states") == "dpkg\nlibc6:i386\n"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
def test_packages_are_those_that_dpkg_names():
    words = ("dpkg-query", "--show", "--showformat", "${binary:Package} ${Version} ${db:Status-Status}\\n")
    told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert sorted(debian.packages().splitlines()) == sorted(told.splitlines())
