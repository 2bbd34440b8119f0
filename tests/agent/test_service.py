"""`bobbin agent` against the real door: backs up by itself, leaves out what both policies say, is stopped, is installed."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import pytest

from agent_pc import state
from agent_pc.exits import STATUS
from agent_pc.service import guards, install
from tests.agent.rig import told

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _tree(folder):
    for name in ("a.txt", "b.tmp", "c.iso", "d.mine", ".cache/x/y", "made/CACHEDIR.TAG", "made/z", "keep/.cache/k"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Signature: 8a477f597d28d172789f06886806bc55")
    return folder


def _read(path):
    return json.loads(pathlib.Path(path).read_text())


def _names(capsys, agent, path):
    status, found = told(capsys, agent, "ls", "--recursive", path)
    assert status == 0
    return {row.get("path", row["name"]).removeprefix(str(path) + "/") for row in found["entries"]}


@pytest.fixture
def agent(appliance, tmp_path, request):
    made = appliance.agent(request.node.name.replace("_", "-")[:40], tmp_path)
    tree = _tree(tmp_path / "tree")
    with open(os.path.join(made.directory, "agent.toml"), "w") as file:
        file.write(f"sources = ['{tree}']\nexclude = ['*.mine', '!c.iso']\nforce_minutes = 0\n")
    made.tree = tree
    return made


def test_both_policies_leave_out(appliance, capsys, agent):
    assert appliance.ask("set policy.exclude *.iso") == "done"
    assert appliance.ask("set policy.delay_minutes 45") == "done"
    assert agent.run("agent", "run", "--once") == 0
    assert _names(capsys, agent, agent.tree) == {"a.txt", "made", "made/CACHEDIR.TAG", "keep"}
    status, found = told(capsys, agent, "status")
    assert status == 0 and found["agent"]["last"]["view"] == 1 and found["agent"]["state"] == "stopped"
    assert found["agent"]["last"]["excluded"] == 6
    status, found = told(capsys, agent, "agent", "config")
    values = {row["key"]: (row["value"], row["origin"]) for row in found["values"]}
    assert values["delay_minutes"] == (45, "appliance") and values["sources"] == ([str(agent.tree)], "agent.toml")
    assert found["exclude"][-1] == {"pattern": "*.iso", "origin": "appliance"}
    assert {"pattern": "*.mine", "origin": "agent.toml"} in found["exclude"]
    assert appliance.ask("set policy.exclude *.none") == "done"
    status, found = told(capsys, agent, "backup", agent.tree / "keep", agent.tree / ".cache", agent.tree)
    assert status == 0
    assert "c.iso" in _names(capsys, agent, agent.tree)  # the next connection brought the new policy


def test_what_is_named_is_never_left_out(capsys, agent):
    status, found = told(capsys, agent, "backup", agent.tree / ".cache")
    assert status == 0 and found["files"] == 1 and found["excluded"] == 0


def test_a_directory_left_out_is_not_entered(capsys, agent, monkeypatch):
    entered = []
    scandir = os.scandir

    def watched(place):
        entered.append(os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else os.fsdecode(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", watched)
    for _ in range(2):
        assert agent.run("backup", agent.tree) == 0
    assert str(agent.tree) in entered and not [path for path in entered if ".cache" in path]


def test_an_excluded_file_leaves_the_next_view(capsys, agent):
    assert agent.run("backup", agent.tree) == 0
    assert "a.txt" in _names(capsys, agent, agent.tree)
    with open(os.path.join(agent.directory, "agent.toml"), "a") as file:
        file.write("one_filesystem = true\n")
    with open(os.path.join(agent.directory, "agent.toml"), "w") as file:
        file.write("exclude = ['a.*']\n")
    assert agent.run("backup", agent.tree) == 0
    assert "a.txt" not in _names(capsys, agent, agent.tree)
    status, found = told(capsys, agent, "backup", agent.tree)
    assert status == 0 and (found["new"], found["modified"], found["deleted"]) == (0, 0, 0)


def test_the_service_is_stopped_and_says_why_it_waits(agent, capsys):
    words = [sys.executable, "-m", "agent_pc.cli", "agent", "run", "--state", agent.directory]
    process = subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    path = os.path.join(agent.directory, "agent.json")
    for _ in range(300):
        if os.path.exists(path) and _read(path)["reason"] == "the last backup is young enough":
            break
        time.sleep(0.1)
    assert agent.run("agent", "run", "--once") == STATUS["BUSY"]  # one is enough
    found = told(capsys, agent, "status")[1]["agent"]
    assert found["last"]["outcome"] == "OK" and found["next"] and found["reason"] == "the last backup is young enough"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "backed up: view 1" in output and output.endswith("stopped\n")
    assert _read(path)["state"] == "stopped"


def test_status_without_the_appliance(agent, capsys):
    assert agent.run("agent", "run", "--once") == 0
    path = os.path.join(agent.directory, "appliance.json")
    content = _read(path)
    state.write(path, {**content, "port": 1})
    status, found = told(capsys, agent, "status")
    assert status == STATUS["UNREACHABLE"] and found["agent"]["last"]["view"] == 1 and found["error"]["name"] == "UNREACHABLE"
    assert agent.run("agent", "run", "--once") == 0  # not due


def test_install_prints_what_each_system_wants(capsys, tmp_path):
    state = str(tmp_path / 'odd "state" %h & <b>')
    unit = install.systemd(state, False)
    assert 'odd \\"state\\" %%h & <b>"' in unit and "ProtectSystem=full" in unit and "WantedBy=multi-user.target" in unit
    assert "ProtectSystem" not in install.systemd(state, True) and "WantedBy=default.target" in install.systemd(state, True)
    task = xml.fromstring(install.windows(state, False).replace(' encoding="UTF-16"', ""))
    assert "agent run --state" in "".join(task.itertext())
    assert state in [element.text for element in xml.fromstring(install.macos(state, True)).iter("string")]
    document, lines = install.install(state, "windows", True, False)
    assert not document["written"] and "schtasks" in lines[-2] + lines[-3]


def test_install_writes_the_unit(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    document, lines = install.install("/s", "linux", True, False)
    assert pathlib.Path(document["path"]).read_text() == document["text"] and document["path"].startswith(str(tmp_path))
    assert lines[1] == "  systemctl --user daemon-reload"


def test_guarded_mounts_have_units(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    document, lines = install.install("/s", "linux", True, False, ["/srv/shop db", "/"])
    folder = tmp_path / ".config/systemd/user"
    assert sorted(path.name for path in folder.iterdir()) == [
        "bobbin-agent.service",
        "bobbin-guard--.service",
        "bobbin-guard-srv-shop\\x20db.service",
    ]
    text = (folder / "bobbin-guard-srv-shop\\x20db.service").read_text()
    assert 'guard "/srv/shop db" "/srv/shop db" --state /s' in text and "Before=bobbin-agent.service" in text
    assert [row["path"] for row in document["guards"]] == [
        str(folder / name) for name in ("bobbin-guard-srv-shop\\x20db.service", "bobbin-guard--.service")
    ]
    assert any("bobbin-guard--.service" in step for step in document["steps"])
    document, lines = install.install("/s", "windows", True, False, ["/srv"])
    assert document["guards"] == []


def test_names_of_units_are_those_of_systemd():
    for path in ("/srv/a.b/.c", "/x-y/z_:", "/ü/~", "/"):
        made = (
            subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True)
            if shutil.which("systemd-escape")
            else None
        )
        if made is not None and made.returncode == 0:
            assert guards.escaped(path) == made.stdout.strip(), path
    assert guards.escaped("/srv/a.b/.c") == "srv-a.b-.c" and guards.escaped("/x-y") == "x\\x2dy"
