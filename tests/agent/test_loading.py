"""What a command loads and starts before it is done: a small restore is over in the time that some modules take to load."""

import json
import os
import subprocess
import sys

import pytest

from agent_pc.channel import Channel, Reply
from agent_pc.cli import _MODULES, commands
from firmware.formats import message

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Runs a command as the `bobbin` script does, then says what is loaded and which programs were started.
_PROGRAM = """
import sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in ("subprocess.Popen", "os.posix_spawn", "os.exec") else None)
from agent_pc import cli
status = cli.main(sys.argv[1:])
import json
print(json.dumps({"status": status, "modules": sorted(sys.modules), "started": started}), file=sys.stderr)
"""

# Standard modules that cost milliseconds each, and what only other commands need.
_NEVER = [
    "asyncio",
    "concurrent.futures",
    "ctypes.util",
    "dataclasses",
    "datetime",
    "lzma",
    "shutil",
    "email",
    "encodings.idna",
    "http",
    "http.client",
    "inspect",
    "logging",
    "psutil",
    "serial",
    "tempfile",
    "tomllib",
    "tqdm",
    "traceback",
    "urllib.request",
    "xml",
    "agent_pc.console",
    "agent_pc.guard.mount",
    "agent_pc.mount",
    "agent_pc.pair",
    "agent_pc.service.install",
    "agent_pc.service.runner",
]
_NOT_TO_RESTORE = [
    "agent_pc.backup",
    "agent_pc.cache",
    "agent_pc.sysinfo.collect",
    "agent_pc.views.find",
    "agent_pc.views.when",
    "sqlite3",
]


def _run(agent, *words) -> dict:
    words = (words[0], "--state", agent.directory, *map(str, words[1:]))
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], cwd=_ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stderr.splitlines()[-1])


@pytest.fixture
def agent(appliance, tmp_path, request):
    made = appliance.agent(request.node.name.replace("_", "-")[:40], tmp_path)
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "below" / "file").write_text("12345" * 100)
    assert made.run("backup", tmp_path / "tree") == 0
    return made


def test_a_small_restore_loads_little_and_starts_nothing(agent, tmp_path):
    done = _run(agent, "restore", tmp_path / "tree/below/file", "--to", tmp_path / "out")
    assert done["status"] == 0 and done["started"] == []
    assert not {*_NEVER, *_NOT_TO_RESTORE} & set(done["modules"])


def test_a_backup_in_which_nothing_changed_loads_little_and_starts_nothing(agent, tmp_path):
    for _ in range(2):  # what is known of this PC is collected by the first
        done = _run(agent, "backup", tmp_path / "tree", "--write-free", 0)
    assert done["status"] == 0 and done["started"] == []
    wanted = {*_NEVER, "agent_pc.restore", "agent_pc.sysinfo.collect"} - {"datetime"}  # which sqlite3 loads
    assert wanted.isdisjoint(done["modules"]), wanted.intersection(done["modules"])


def test_how_often_a_small_restore_waits_for_the_appliance(agent, tmp_path, monkeypatch):
    asked: list = []
    ask, get = Channel.ask, Reply.get
    monkeypatch.setattr(Channel, "ask", lambda self, type_, *values: asked.append(type_) or ask(self, type_, *values))
    monkeypatch.setattr(Reply, "get", lambda self, *expected: asked.append("answer") or get(self, *expected))
    path = tmp_path / "tree/below/file"
    assert agent.run("restore", path, "--to", tmp_path / "out") == 0
    assert asked[:3] == [message.HELLO, message.AUTH, "answer"]  # AUTH does not wait
    requests = [row for row in asked if row != "answer"]
    assert requests.count(message.ITEMS_GET) == len(path.parts) - 1 + 2  # a node each on the way; file object, contents
    assert len(requests) == len(path.parts) - 1 + 2 + 4  # and HELLO, AUTH, VIEWS_GET, OWNED_GET


def test_the_table_names_every_command_once():
    named = [name for _, names in _MODULES for name in names]
    assert len(set(named)) == len(named) and named == [row[0] for row in commands()]
    for name in named:
        assert name in [row[0] for row in commands(name)]
