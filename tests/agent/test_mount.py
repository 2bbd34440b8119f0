"""The mount of all views for real: what ordinary programs read from it is what was backed up."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from agent_pc import state
from tests.agent.relay import Relay
from tests.agent.rig import snapshot, told
from tests.agent.test_end_to_end import _fill

pytestmark = [
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="/dev/fuse is missing"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="fusermount3 is missing: package fuse3"),
]

# The command, with its requests counted by name and printed at the end.
_COUNTING = """
import atexit, collections, json, sys
from agent_pc import channel, cli
from firmware.formats import message
asked, send = collections.Counter(), channel.Channel.send
def counted(self, type_, *rest):
    asked[message.NAMES[type_]] += 1
    return send(self, type_, *rest)
channel.Channel.send = counted
status = cli.main(sys.argv[1:])
print(json.dumps(asked))
sys.exit(status)
"""


class Mounted:
    """`bobbin mount` in a process of its own. `asked`, `log`: its requests by name and its log, after the end."""

    def __init__(self, agent, folder, *arguments):
        self.place = str(folder)
        os.makedirs(folder, exist_ok=True)
        command = [sys.executable, "-c", _COUNTING, "mount", "--state", agent.directory, "--foreground", *arguments, self.place]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not os.path.ismount(self.place):
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)
        self.asked: dict = {}
        self.log = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["fusermount3", "-u", self.place], check=True)
        out, self.log = self.process.communicate(timeout=20)
        self.asked = json.loads(out.splitlines()[-1])
        assert self.process.returncode == 0 and "Traceback" not in self.log


def _tree(root) -> dict:
    """`snapshot`, whatever the order in which names are listed: a hard linked file has all its names in place of a number."""
    found = snapshot(root)
    names: dict = {}
    for path, row in found.items():
        if len(row) == 8 and row[6] is not None:
            names.setdefault(row[6], []).append(path)
    return {path: [*row[:6], sorted(names.get(row[6], [])), row[7]] if len(row) == 8 else row for path, row in found.items()}


def _run(*command, status: int = 0) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == status, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def agent(appliance, tmp_path, request):
    return appliance.agent(request.node.name[:40], tmp_path)


def test_everything_is_in_the_mount(agent, tmp_path, capsys):
    source = tmp_path / "source"
    _fill(source)
    assert agent.run("backup", source) == 0
    first = _tree(source)
    (source / "large").write_bytes(b"ten bytes." + (source / "large").read_bytes())  # its chunks are of any length now
    with open(source / "sparse", "r+b") as file:
        file.seek(5 << 20)
        file.write(os.urandom(100_000))
    time.sleep(1)
    assert agent.run("backup", source) == 0
    names = [row["name"] for row in told(capsys, agent, "views")[1]["views"]]
    with Mounted(agent, tmp_path / "mount") as mounted:
        assert sorted(os.listdir(mounted.place)) == [*sorted(names), "latest"]
        assert os.readlink(f"{mounted.place}/latest") == names[1]
        inside = f"{mounted.place}/latest{source}"
        assert _tree(inside) == _tree(source)
        assert _tree(f"{mounted.place}/{names[0]}{source}") == first
        assert os.getxattr(f"{inside}/large", "user.bobbin.label") == b"quiesced"
        for attempt, code in (
            (lambda: os.stat(f"{inside}/nosuch"), errno.ENOENT),
            (lambda: os.listdir(f"{inside}/large"), errno.ENOTDIR),
            (lambda: os.getxattr(f"{inside}/same", "user.nosuch"), errno.ENODATA),
            (lambda: os.truncate(f"{inside}/large", 5), errno.EROFS),
            (lambda: os.unlink(f"{inside}/large"), errno.EROFS),
            (lambda: os.mkdir(f"{mounted.place}/new"), errno.EROFS),
        ):
            with pytest.raises(OSError) as error:
                attempt()
            assert error.value.errno == code
        with open(f"{inside}/large", "rb") as file, open(source / "large", "rb") as original:
            for at in (2_999_999, 1_048_570, 5, 3_000_005):  # not in order
                file.seek(at)
                original.seek(at)
                assert file.read(20_000) == original.read(20_000)


def test_copy_grep_and_diff_of_5000_files_ask_little(agent, tmp_path):
    source = tmp_path / "source"
    for number in range(5000):
        path = source / f"{number % 10}" / f"{number // 10 % 10}" / f"file {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"contents of {number}\n" * (number % 50))
    with open(source / "large", "wb") as file:
        file.write(os.urandom(24 << 20))
    assert agent.run("backup", source) == 0
    with Mounted(agent, tmp_path / "mount") as mounted:
        assert len(_run("ls", "-lR", f"{mounted.place}/latest/").splitlines()) > 5000
    depth = len(source.parts)
    # One for each component on the way, one for the directories in each directory that holds some.
    assert mounted.asked["ITEMS_GET"] <= depth + 1 + 11
    with Mounted(agent, tmp_path / "mount") as mounted:
        inside = f"{mounted.place}/latest{source}"
        _run("cp", "-r", "--preserve=timestamps", inside, tmp_path / "copy")
        _run("diff", "-r", source, tmp_path / "copy")
    # 5,000 files in batches of 512, the large one in windows fetched eight at a time: two dozen requests, not thousands.
    assert sum(mounted.asked.values()) < 150, mounted.asked
    with Mounted(agent, tmp_path / "mount") as mounted:
        inside = f"{mounted.place}/latest{source}"
        assert _run("grep", "-rlx", "contents of 4242", inside) == f"{inside}/2/4/file 4242.txt\n"
        _run("diff", "-r", source, inside)


def test_a_lost_chunk_is_an_input_error_of_its_file(appliance, agent, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    data = os.urandom(8 << 20)
    (source / "damaged").write_bytes(data)
    for number in range(20):
        (source / f"small {number}").write_bytes(os.urandom(2000))
    assert agent.run("backup", source) == 0
    with open(f"{appliance.folder}/disk", "r+b") as disk:
        stored = disk.read()
        for wanted in (data[5 << 20 : (5 << 20) + 64], (source / "small 7").read_bytes()[:64]):
            at = stored.index(wanted)
            disk.seek(at)
            disk.write(bytes([wanted[0] ^ 1]))
        disk.flush()
        os.fsync(disk.fileno())
    with Mounted(agent, tmp_path / "mount") as mounted:
        inside = f"{mounted.place}/latest{source}"
        with open(f"{inside}/damaged", "rb", buffering=0) as file:
            assert file.read(4 << 20) == data[: 4 << 20]
            file.seek(7 << 20)
            assert file.read(1 << 20) == data[7 << 20 :]
            file.seek(5 << 20)
            with pytest.raises(OSError) as error:
                file.read(4096)
            assert error.value.errno == errno.EIO
        bad = []
        for number in range(20):
            try:
                with open(f"{inside}/small {number}", "rb") as small:
                    assert small.read() == (source / f"small {number}").read_bytes()
            except OSError as error:
                assert error.errno == errno.EIO
                bad.append(number)
        assert 7 in bad
    assert f"{source}/damaged: read:" in mounted.log and "small 7: read:" in mounted.log


def test_the_connection_is_made_again(appliance, agent, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(6 << 20))
    (source / "g").write_text("after the cut")
    assert agent.run("backup", source) == 0
    relay = Relay(appliance.port)
    held = state.load(agent.directory)
    held.port = relay.port
    held.save()
    with Mounted(agent, tmp_path / "mount", "--wait", "0.5") as mounted:
        inside = f"{mounted.place}/latest{source}"
        with open(f"{inside}/f", "rb", buffering=0) as file:
            assert file.read(1000) == (source / "f").read_bytes()[:1000]
            assert relay.cut() == 1
            file.seek(5 << 20)
            assert len(file.read()) == 1 << 20
        assert relay.cut() == 1
        with open(f"{inside}/g") as file:
            assert file.read() == "after the cut"
        relay.close()
        with pytest.raises(OSError) as error, open(f"{mounted.place}/nosuch/g") as file:
            file.read()
        assert error.value.errno in (errno.EHOSTUNREACH, errno.ENOENT)


def test_a_new_view_appears(agent, tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("one")
    assert agent.run("backup", source) == 0
    with Mounted(agent, tmp_path / "mount") as mounted:
        assert len(os.listdir(mounted.place)) == 2
        (source / "f").write_text("two")
        time.sleep(1)
        assert agent.run("backup", source) == 0
        names = [row["name"] for row in told(capsys, agent, "views")[1]["views"]]
        with open(f"{mounted.place}/{names[1]}{source}/f") as file:
            assert file.read() == "two"


def test_in_the_background_and_errors(agent, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("one")
    assert agent.run("backup", source) == 0
    command = [sys.executable, "-m", "agent_pc.cli", "mount", "--state", agent.directory]
    place = tmp_path / "mount"
    missing = subprocess.run([*command, place], capture_output=True, text=True, check=False)
    assert missing.returncode == 18 and "expected a directory" in missing.stderr and missing.stderr.count("\n") == 1
    place.mkdir()
    done = subprocess.run([*command, "--json", place], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["directory"] == str(place), done.stderr
    assert (place / "latest" / str(source)[1:] / "f").read_text() == "one"
    again = subprocess.run([*command, place], capture_output=True, text=True, check=False)
    assert again.returncode == 18 and "mounted there already" in again.stderr
    _run("fusermount3", "-u", place)
    held = state.load(agent.directory)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        held.port = closed.getsockname()[1]
    held.save()
    away = subprocess.run([*command, place], capture_output=True, text=True, check=False, timeout=60)
    assert away.returncode == 16 and away.stderr.count("\n") == 1
