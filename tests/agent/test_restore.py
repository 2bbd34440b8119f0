"""Restore over what exists, after a cut, after a kill, read back: what stays, what is fetched, what is said."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from agent_pc import state
from agent_pc.restore import job
from agent_pc.restore.paths import Target
from agent_pc.restore.writer import Writer
from agent_pc.session import Session
from firmware.formats import pack
from tests.agent.relay import Relay
from tests.agent.rig import snapshot, told
from tests.agent.test_end_to_end import _fill


@pytest.fixture
def agent(appliance, tmp_path, request):
    return appliance.agent("".join(letter for letter in request.node.name if letter.isalnum())[:40], tmp_path)


@pytest.fixture
def source(agent, tmp_path):
    """Three files of one view, and their copy that differs in two: (older, newer than the view's)."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("old.txt", "new.txt", "same.txt"):
        (folder / name).write_text(f"the view's {name}")
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    assert agent.run("backup", folder) == 0
    there = tmp_path / "out" / str(folder)[1:]
    there.mkdir(parents=True)
    for name, when in (("old.txt", 1_600_000_000), ("new.txt", 1_800_000_000)):
        (there / name).write_text("the user's")
        os.utime(there / name, (when, when))
    (there / "same.txt").write_text("the view's same.txt")
    os.utime(there / "same.txt", (1_700_000_000, 1_700_000_000))
    return folder


def _texts(folder) -> dict:
    return {name: (folder / name).read_text() for name in sorted(os.listdir(folder))}


_MINE = "the user's"


@pytest.mark.parametrize(
    "policy, status, files, skipped, expected",
    [
        ("refuse", 7, 1, 0, {"old.txt": _MINE, "new.txt": _MINE}),
        ("skip", 0, 1, 2, {"old.txt": _MINE, "new.txt": _MINE}),
        ("older", 0, 2, 1, {"old.txt": "the view's old.txt", "new.txt": _MINE}),
        ("overwrite", 0, 3, 0, {"old.txt": "the view's old.txt", "new.txt": "the view's new.txt"}),
        (
            "keep-both",
            0,
            3,
            0,
            {
                "old.txt": _MINE,
                "new.txt": _MINE,
                "old (view 1).txt": "the view's old.txt",
                "new (view 1).txt": "the view's new.txt",
            },
        ),
    ],
)
def test_policies(agent, source, tmp_path, capsys, policy, status, files, skipped, expected):
    there = tmp_path / "out" / str(source)[1:]
    expected = {**expected, "same.txt": "the view's same.txt"}
    for turn in range(2):
        got, result = told(capsys, agent, "restore", source, "--to", tmp_path / "out", "--existing", policy)
        assert (got, result["files"], result["skipped"]) == (status, files, skipped)
        assert result["present"] == (files if turn else 1)  # the second time nothing is written
        assert _texts(there) == expected
        if policy == "refuse":
            assert {os.path.basename(row["path"]) for row in result["failed"]} == {"old.txt", "new.txt"}


def test_equal_size_and_time_are_not_enough(agent, source, tmp_path, capsys):
    there = tmp_path / "out" / str(source)[1:]
    (there / "same.txt").write_text("the mean's same.txt")
    os.utime(there / "same.txt", (1_700_000_000, 1_700_000_000))
    status, result = told(capsys, agent, "restore", source / "same.txt", "--to", tmp_path / "out")
    assert status == 7 and result["present"] == 0
    status, result = told(capsys, agent, "restore", source / "same.txt", "--to", tmp_path / "out", "--overwrite")
    assert status == 0 and (there / "same.txt").read_text() == "the view's same.txt"


def test_everything_again_fetches_no_contents(agent, tmp_path, capsys):
    folder = tmp_path / "source"
    _fill(folder)
    assert agent.run("backup", folder) == 0
    assert agent.run("restore", folder, "--to", tmp_path / "out", "--verify") == 0
    os.chmod(tmp_path / "out" / str(folder)[1:] / "same", 0o600)
    with agent.session() as session:
        before = session.channel.bytes_received
        result = job.restore(session, [os.fsencode(folder)], None, os.fsencode(tmp_path / "out"), job.Options("overwrite"))
        assert result.problems == [] and result.present == result.files > 600
        assert session.channel.bytes_received - before < 500_000  # of 15 MB
    assert snapshot(f"{tmp_path}/out{folder}") == snapshot(folder)  # `overwrite` gives the metadata back


def test_directories_on_the_way_stay_as_they_are(agent, tmp_path):
    folder = tmp_path / "source" / "sub"
    folder.mkdir(parents=True)
    (folder / "f").write_text("x")
    os.chmod(folder, 0o750)
    assert agent.run("backup", folder) == 0
    existing = tmp_path / "out" / str(folder.parent)[1:]
    existing.mkdir(parents=True)
    os.chmod(existing, 0o711)
    os.utime(existing, (5, 5))
    assert agent.run("restore", folder / "f", "--to", tmp_path / "out") == 0
    assert stat.S_IMODE(existing.stat().st_mode) == 0o711
    assert stat.S_IMODE((existing / "sub").stat().st_mode) == 0o750  # made by the restore
    assert (existing / "sub").stat().st_mtime_ns == folder.stat().st_mtime_ns


def test_overlapping_paths_are_restored_once(agent, source, tmp_path, capsys):
    status, result = told(capsys, agent, "restore", source / "old.txt", source, source, "--to", tmp_path / "new")
    assert status == 0 and result["files"] == 3


def test_packs_come_whole(agent, tmp_path, monkeypatch):
    """What lies in neighbouring directories shares packs: files are asked for in the order of the backup, by a row a request."""
    folder = tmp_path / "source"
    for number in range(600):
        at = folder.joinpath(*[str(number % radix) for radix in (7, 5, 3)[: number % 4]])
        at.mkdir(parents=True, exist_ok=True)
        (at / f"file {number}").write_bytes(os.urandom(2000 + number))
    assert agent.run("backup", folder) == 0
    asked: list = []
    fetch = Session.fetch
    monkeypatch.setattr(
        Session, "fetch", lambda self, kind, rows, source="disk": asked.append((kind, rows)) or fetch(self, kind, rows, source)
    )
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert snapshot(tmp_path / "out" / str(folder)[1:]) == snapshot(folder)
    for kind in (pack.DATA, pack.FILES):
        requests = [rows for known, rows in asked if known == kind]
        assert requests and len(requests) <= 4
        assert [len(rows) for rows in requests] == [1] * len(requests)  # so only the ends of a request cut a pack


def _large(folder, count: int = 40) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}").write_bytes(os.urandom(1 << 20))


def test_a_killed_restore_goes_on(agent, tmp_path, capsys):
    folder = tmp_path / "source"
    _large(folder)
    assert agent.run("backup", folder) == 0
    command = [
        sys.executable,
        "-m",
        "agent_pc.cli",
        "restore",
        "--state",
        agent.directory,
        "--to",
        str(tmp_path / "out"),
        str(folder),
    ]
    there = tmp_path / "out" / str(folder)[1:]
    running = subprocess.Popen(command)
    while running.poll() is None and not (there.is_dir() and len(os.listdir(there)) > 5):
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    whole = [name for name in os.listdir(there) if not name.startswith(".bobbin-")]
    assert whole
    (there / ".bobbin-0123456789abcdef").write_text("what a killed restore leaves")
    before = {name: (there / name).stat().st_ino for name in whole}
    status, result = told(capsys, agent, "restore", folder, "--to", tmp_path / "out")
    assert status == 0 and result["files"] == 40 and result["present"] == len(whole)
    assert {name: (there / name).stat().st_ino for name in whole} == before
    assert snapshot(there) == snapshot(folder)  # and no leftovers


def test_a_cut_restore_goes_on_by_itself(appliance, agent, tmp_path, capsys):
    folder = tmp_path / "source"
    _large(folder, 60)
    assert agent.run("backup", folder) == 0
    relay = Relay(appliance.port, after_bytes=45 << 20)
    held = state.load(agent.directory)
    held.port = relay.port
    held.save()
    try:
        status, result = told(capsys, agent, "restore", folder, "--to", tmp_path / "out")
    finally:
        relay.close()
    assert status == 0 and result["attempts"] == 2 and relay.cuts >= 1
    assert result["files"] == 60 and result["present"] == 0
    assert snapshot(f"{tmp_path}/out{folder}") == snapshot(folder)


def test_one_restore_into_a_directory_at_a_time(agent, source, tmp_path, capsys):
    other = Target(os.fsencode(tmp_path / "new"))
    other.lock()
    assert told(capsys, agent, "restore", source, "--to", tmp_path / "new")[0] == 9
    other.close()
    assert agent.run("restore", source, "--to", tmp_path / "new") == 0


def test_verify_reads_back_what_the_disk_has(agent, source, tmp_path, capsys, monkeypatch):
    put = Writer._put

    def damaged(self, data):
        put(self, bytes(len(data)))

    assert agent.run("restore", source, "--to", tmp_path / "new", "--verify") == 0
    monkeypatch.setattr(Writer, "_put", damaged)  # a disk that keeps zeros
    status, result = told(capsys, agent, "restore", source, "--to", tmp_path / "bad", "--verify")
    assert status == 13 and result["files"] == 0 and "read back" in result["failed"][0]["text"]
    assert os.listdir(tmp_path / "bad" / str(source)[1:]) == []


def test_further_names_of_a_file_follow_it(agent, tmp_path, capsys):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a").write_text("contents")
    os.link(folder / "a", folder / "b")
    assert agent.run("backup", folder) == 0
    there = tmp_path / "out" / str(folder)[1:]
    there.mkdir(parents=True)
    (there / "a").write_text("mine")
    status, result = told(capsys, agent, "restore", folder, "--to", tmp_path / "out", "--existing", "keep-both")
    assert status == 0 and os.path.samefile(there / "b", there / "a (view 1)") and (there / "b").read_text() == "contents"
    os.unlink(there / "b")
    status, result = told(capsys, agent, "restore", folder, "--to", tmp_path / "out", "--existing", "skip")
    assert status == 7 and result["skipped"] == 1 and "restore it by itself" in result["failed"][0]["text"]
    assert told(capsys, agent, "restore", folder / "b", "--to", tmp_path / "out")[0] == 0
    assert (there / "b").read_text() == "contents" and (there / "a").read_text() == "mine"
