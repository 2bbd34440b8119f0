"""The command line against the real door and store: everything a tree can hold goes there and comes back."""

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from agent_pc import state
from agent_pc.afm.options import Options as Files
from agent_pc.backup import Options, backup
from agent_pc.cache import Cache
from tests.agent.rig import Agent, snapshot, told

_ROOT = os.geteuid() == 0


def _fill(folder, seed: int = 1) -> None:
    """A tree with one of everything."""
    rng = random.Random(seed)
    folder.mkdir()
    for number in range(600):
        path = folder / f"d{number % 23}" / f"file {number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice((0, 1, 500, 9000, 40_000))))
        os.utime(path, ns=(number, 1_600_000_000_123_456_789 + number))
        os.chmod(path, rng.choice((0o644, 0o600, 0o755, 0o4755, 0o444)))
    (folder / "large").write_bytes(rng.randbytes(3_000_000))
    (folder / "same").write_bytes(bytes(1_000_000))
    (folder / "empty directory").mkdir(mode=0o750)
    deep = folder / "deep"
    for _ in range(60):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("here")
    os.symlink("nowhere", folder / "dangling")
    os.symlink("/etc", folder / "to etc")
    os.link(folder / "large", folder / "d1" / "hard link")
    os.link(folder / "d2" / "file 2", folder / "second name")
    with open(folder / "sparse", "wb") as file:
        file.seek(10 << 20)
        file.write(b"end")
        file.truncate(20 << 20)
    with open(folder / "all hole", "wb") as file:
        file.truncate(1 << 20)
    os.mkfifo(folder / "fifo", 0o640)
    with open(os.fsencode(folder) + b"/not utf-8 \xff\xfe", "wb") as file:
        file.write(b"bytes")
    os.mkdir(os.fsencode(folder) + b"/dir \xe9\n")
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(folder / "socket"))
    made.close()
    if _ROOT:
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.chown(folder / "large", 1234, 2345)
        os.chown(folder / "dangling", 1, 2, follow_symlinks=False)
    try:
        os.setxattr(folder / "large", "user.note", b"\0binary\xff")
        os.setxattr(folder / "d3", "user.on a directory", b"yes")
    except OSError:
        pass  # a filesystem without them; tmpfs before Linux 6.6
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-m", "u:1000:rw,g:1001:r", str(folder / "same")], check=False)
        subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", str(folder / "empty directory")], check=False)


@pytest.fixture
def agent(appliance, tmp_path, request):
    return appliance.agent(request.node.name[:40], tmp_path)


@pytest.fixture
def source(tmp_path):
    _fill(tmp_path / "source")
    return tmp_path / "source"


def _restored(agent: Agent, source, to, *arguments) -> dict:
    assert agent.run("restore", source, "--to", to, *arguments) == 0
    return snapshot(f"{to}{source}")


def test_everything_comes_back(agent, source, tmp_path, capsys):
    status, first = told(capsys, agent, "backup", source)
    assert status == 0 and first["problems"] == 0 and first["view"] == 1
    before = snapshot(source)
    assert first["new"] + first["redundant"] == first["files"] == len([1 for row in before.values() if stat.S_ISREG(row[0])])
    assert _restored(agent, source, tmp_path / "out") == before
    blocks = os.stat(f"{tmp_path}/out{source}/sparse").st_blocks * 512
    assert blocks < 5 << 20 or os.stat(source / "sparse").st_blocks * 512 >= 5 << 20


def test_what_did_not_change_costs_nothing(agent, source, tmp_path, capsys):
    told(capsys, agent, "backup", source)
    status, second = told(capsys, agent, "backup", source)
    assert status == 0 and second["unchanged"] == second["files"] and second["chunks"] == 0
    assert (
        second["nodes"] <= 5 and second["bytes_sent"] < 3000
    )  # others write beside the source: the directories above it change
    # The cache is lost: the tree is brought from the appliance, and again nothing is sent but questions.
    held = state.load(agent.directory)
    os.unlink(held.cache_path)
    status, third = told(capsys, agent, "backup", source)
    assert status == 0 and third["unchanged"] == third["files"] and third["nodes"] <= 5


def test_changes_are_found_and_both_views_come_back(agent, source, tmp_path, capsys):
    told(capsys, agent, "backup", source)
    first = snapshot(source)
    with open(source / "large", "r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed in place")
    (source / "new").write_bytes(os.urandom(50_000))
    shutil.rmtree(source / "d4")
    os.rename(source / "d5", source / "renamed")
    os.chmod(source / "d6" / "file 6", 0o640)
    os.utime(source / "same", ns=(5, 5))
    moved = [path for path in os.listdir(source / "renamed") if os.stat(source / "renamed" / path).st_size]
    status, result = told(capsys, agent, "backup", source)
    assert status == 0 and result["modified"] == 2  # `large` has two names
    assert result["redundant"] == len(moved) and result["touched"] == 2 and result["new"] == 1 + 26 - len(moved)
    assert result["chunk_bytes"] <= 50_000 + 2 * 8192
    assert result["deleted"] >= 26
    assert _restored(agent, source, tmp_path / "two") == snapshot(source)
    assert _restored(agent, source, tmp_path / "one", "--view", "1") == first


def test_ten_bytes_in_front_of_a_large_file(agent, tmp_path, capsys):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "f").write_bytes(os.urandom(8 << 20))
    told(capsys, agent, "backup", folder)
    for turn in range(3):
        (folder / "f").write_bytes(os.urandom(10) + (folder / "f").read_bytes())
        if turn == 1:
            os.unlink(state.load(agent.directory).cache_path)  # then the fingerprints are downloaded
        status, result = told(capsys, agent, "backup", folder)
        assert status == 0 and result["modified"] == 1 and result["chunk_bytes"] == 10 and result["bytes_sent"] < 3000
    assert _restored(agent, folder, tmp_path / "out") == snapshot(folder)


def test_what_another_client_holds_is_not_sent(appliance, agent, source, tmp_path, capsys):
    _, first = told(capsys, agent, "backup", source)
    other = appliance.agent("other", tmp_path)
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(
        source, copy, symlinks=True, ignore=shutil.ignore_patterns("fifo", "socket", "null", "sparse", "all hole", "hard link")
    )
    empty = [path for path in copy.rglob("*") if path.is_file() and not path.is_symlink() and not path.stat().st_size]
    status, result = told(capsys, other, "backup", copy)
    assert status == 0 and result["chunks"] == 1 and result["new"] == len(empty) > 90  # its own system information
    assert result["redundant"] > 450 and result["bytes_sent"] < first["bytes_sent"] / 20
    assert _restored(other, copy, tmp_path / "out") == snapshot(copy)


def test_several_sources_keep_their_paths(agent, tmp_path, capsys):
    for name in ("a/x", "a/y", "b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").write_text(name)
    (tmp_path / "a" / "not this").write_text("no")
    status, result = told(capsys, agent, "backup", tmp_path / "a/x", tmp_path / "a/y", tmp_path / "b")
    assert status == 0 and result["files"] == 3
    status, listed = told(capsys, agent, "ls", tmp_path / "a")
    assert [row["name"] for row in listed["entries"]] == ["x", "y"]
    assert _restored(agent, tmp_path / "a/y", tmp_path / "out") == snapshot(tmp_path / "a/y")
    assert not os.path.exists(f"{tmp_path}/out{tmp_path}/b")
    # One of them alone, then the other: each finds its own last view.
    status, alone = told(capsys, agent, "backup", tmp_path / "b")
    assert alone["files"] == alone["unchanged"] == 1
    status, again = told(capsys, agent, "backup", tmp_path / "a/x")
    assert again["files"] == again["unchanged"] == 1


def test_files_in_the_way_are_refused_or_replaced(agent, source, tmp_path, capsys):
    told(capsys, agent, "backup", source)
    _restored(agent, source, tmp_path / "out")
    inside = f"{tmp_path}/out{source}"
    with open(f"{inside}/large", "w") as file:
        file.write("mine")
    status, result = told(capsys, agent, "restore", source / "large", "--to", tmp_path / "out")
    assert status == 7 and "--existing" in result["failed"][0]["text"] and os.path.getsize(f"{inside}/large") == 4
    status, result = told(capsys, agent, "restore", source, "--to", tmp_path / "out", "--overwrite")
    assert status == 0 and snapshot(inside) == snapshot(source)


def test_a_link_in_the_target_is_not_followed(agent, tmp_path, capsys):
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "f").write_text("x")
    told(capsys, agent, "backup", folder)
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = f"{tmp_path}/out{folder}"
    os.makedirs(inside)
    os.symlink(outside, f"{inside}/sub")
    status, result = told(capsys, agent, "restore", folder, "--to", tmp_path / "out", "--overwrite")
    assert status == 7 and result["problems"] == 1 and os.listdir(outside) == []


@pytest.mark.skipif(_ROOT and not shutil.which("setpriv"), reason="root reads everything; needs setpriv")
def test_unreadable_files_are_named_and_the_rest_goes_on(appliance, tmp_path, capsys):
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    os.chmod(folder / "b", 0)
    (folder / "closed").mkdir(mode=0)
    agent = appliance.agent("unreadable", tmp_path)
    if _ROOT:
        for path in (tmp_path, *tmp_path.parents[:3]):
            os.chmod(path, 0o755)
        subprocess.run(["chown", "-R", "65534:65534", str(tmp_path)], check=True)
    drop = ["setpriv", "--reuid", "65534", "--clear-groups", "--regid", "65534"] if _ROOT else []
    command = [
        *drop,
        sys.executable,
        "-m",
        "agent_pc.cli",
        "backup",
        "--state",
        agent.directory,
        "--json",
        "--write-free",
        "0",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "/b: " in done.stderr and "/closed: " in done.stderr and "Traceback" not in done.stderr
    _, listed = told(capsys, agent, "ls", folder)
    assert [row["name"] for row in listed["entries"]] == ["a", "c", "closed"]


def test_control_c_commits_nothing(appliance, agent, tmp_path, capsys):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(40):
        (folder / str(number)).write_bytes(os.urandom(4 << 20))
    command = [sys.executable, "-m", "agent_pc.cli", "backup", "--state", agent.directory, "--write-free", "0", str(folder)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while appliance.usage()["used_bytes"] < 0 or not _sending(appliance, running):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130 and "nothing was committed" in errors and "Traceback" not in errors
    status, listed = told(capsys, agent, "views")
    assert status == 0 and listed["views"] == []
    status, result = told(capsys, agent, "backup", folder)
    assert status == 0 and result["files"] == 40


def _sending(appliance, running) -> bool:
    """Whether the backup is well under way."""
    assert running.poll() is None
    with open(f"/proc/{running.pid}/io") as file:
        written = int(next(line for line in file if line.startswith("wchar")).split()[1])
    return written > 20 << 20


def test_a_cut_connection_is_taken_up_again(appliance, agent, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(64):
        (folder / str(number)).write_bytes(os.urandom(1 << 20))
    sessions = [agent.session()]
    send, sent = sessions[0].channel.send, []

    def cut(type_, request, *parts):
        sent.append(sum(map(len, parts)))
        if sum(sent) > 30 << 20:
            sessions[0].channel._socket.shutdown(2)
        send(type_, request, *parts)

    def reconnect():
        sessions.append(agent.session())
        return sessions[-1]

    sessions[0].channel.send = cut
    result = backup(sessions[0], [str(folder)], Cache(None), Options(afm=Files(write_free_s=0)), reconnect=reconnect)
    assert result.attempts == 2 and result.view == 1 and result.counts.files == 64
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{folder}") == snapshot(folder)
    for session in sessions:
        session.close()


def test_a_view_deleted_behind_the_agent(appliance, agent, source, tmp_path, capsys):
    told(capsys, agent, "backup", source)
    assert appliance.ask(f"delete {os.path.basename(agent.directory)} 1") == "done"
    status, result = told(capsys, agent, "backup", source)
    assert status == 0 and result["unchanged"] == 0
    assert _restored(agent, source, tmp_path / "out") == snapshot(source)
