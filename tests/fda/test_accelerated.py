"""Backups with FDA over an appliance: what was written is read and sent, nothing else; the result restores; doubts lead to SFP."""

import os
import random

import pytest

from agent_pc.cli import main
from agent_pc.fda.clones import DIRECTORY
from tests.agent.rig import told

_PAGE = 8192
_PAGES = 4096


@pytest.fixture
def agent(appliance, volume, tmp_path):
    name = f"{volume.name}-{tmp_path.name}"
    yield appliance.agent(name, tmp_path)
    for folder in (volume, volume / os.fsdecode(DIRECTORY)):
        for path in folder.iterdir():
            if path.is_file():
                path.unlink()


def _database(path):
    with open(path, "wb") as file:
        for _ in range(_PAGES):
            file.write(os.urandom(_PAGE))
    os.utime(path, (1, 1))


def _touch_pages(path, rng, count):
    pages = rng.sample(range(_PAGES), count)
    with open(path, "r+b") as file:
        for page in pages:
            file.seek(page * _PAGE + 100)
            file.write(rng.randbytes(50))
    return pages


def _restored(agent, path, tmp_path):
    target = tmp_path / f"back{random.random()}"
    assert agent.run("restore", path, "--to", target) == 0
    return (target / str(path).lstrip("/")).read_bytes()


def test_one_per_cent_of_a_database(appliance, agent, volume, tmp_path, capsys, read):
    path = volume / (volume.name + ".db")  # another name on each: no candidate for redundancy
    _database(path)
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and read[0] == _PAGES * _PAGE
    rng = random.Random(1)
    for _ in range(2):  # the second time against a version that was itself made by FDA
        read[0] = 0
        pages = _touch_pages(path, rng, _PAGES // 100)
        status, document = told(capsys, agent, "backup", path)
        assert status == 0 and document["modified"] == 1
        assert read[0] == len(pages) * _PAGE
        assert document["chunk_bytes"] == len(pages) * _PAGE
        assert document["bytes_sent"] < 1.2 * len(pages) * _PAGE + 30_000
        assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_appended_and_cut(appliance, agent, volume, tmp_path, capsys, read):
    path = volume / "log"
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    with open(path, "ab") as file:
        file.write(b"a line\n" * 1000)
    read[0] = 0
    assert told(capsys, agent, "backup", path)[0] == 0
    assert 7000 <= read[0] <= 7000 + 2 * _PAGE
    assert _restored(agent, path, tmp_path) == path.read_bytes()
    os.truncate(path, 30 << 20)
    read[0] = 0
    assert told(capsys, agent, "backup", path)[0] == 0
    assert read[0] == 0
    assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_holes(appliance, agent, volume, tmp_path, capsys, read):
    path = volume / "sparse"
    with open(path, "wb") as file:
        for start in range(0, 32, 4):
            file.seek(start << 20)
            file.write(os.urandom((1 << 20) + 4096))
        file.truncate(40 << 20)
    assert told(capsys, agent, "backup", path)[0] == 0
    with open(path, "r+b") as file:
        file.seek((5 << 20) + 4096)
        file.write(os.urandom(100))  # a new extent behind the old one
        file.seek(9 << 20)
        file.write(b"x")
    read[0] = 0
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and document["modified"] == 1
    assert read[0] < 1 << 20
    assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_only_the_time_changed(appliance, agent, volume, tmp_path, capsys, read):
    path = volume / "still"
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    os.utime(path, (2, 2))
    read[0] = 0
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and document["touched"] == 1 and read[0] == 0


@pytest.mark.parametrize("loss", ["clones", "hashes", "broken hashes", "other hashes"])
def test_lost_or_broken_knowledge_is_sfp(appliance, agent, volume, tmp_path, capsys, read, loss):
    path = volume / "doubt"
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    [kept] = [entry.path for entry in os.scandir(os.path.join(agent.directory, "fda"))]
    if loss == "clones":
        for entry in os.scandir(volume / os.fsdecode(DIRECTORY)):
            os.unlink(entry.path)
    elif loss == "hashes":
        os.unlink(kept)
    else:
        with open(kept, "r+b") as file:
            file.seek(0 if loss == "broken hashes" else os.path.getsize(kept) - 30)
            file.write(b"\xa5" * 8)
    _touch_pages(path, random.Random(2), 10)
    read[0] = 0
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and document["chunk_bytes"] == 10 * _PAGE
    assert read[0] == _PAGES * _PAGE
    assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_a_rewritten_file_is_sfp(appliance, agent, volume, tmp_path, capsys, read):
    path = volume / "rewritten"
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    path.write_bytes(b"0123456789" + path.read_bytes())
    read[0] = 0
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and read[0] >= _PAGES * _PAGE
    assert document["bytes_sent"] < 200_000
    assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_what_no_view_holds_answers_for_nothing(appliance, agent, volume, tmp_path, capsys, read, monkeypatch):
    """A backup that is cut before its commit has read and remembered a version: it must not be taken for the one that is held."""
    path = volume / "cut"
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    _touch_pages(path, random.Random(3), 5)
    with monkeypatch.context() as patch:
        patch.setattr("agent_pc.session.Session.commit", lambda *_: (_ for _ in ()).throw(OSError("cut")))
        assert main(["backup", "--state", agent.directory, str(path)]) != 0
    _touch_pages(path, random.Random(4), 5)
    read[0] = 0
    status, document = told(capsys, agent, "backup", path)
    assert status == 0 and document["modified"] == 1 and read[0] == 10 * _PAGE
    assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_the_clones_are_not_backed_up(appliance, agent, volume, tmp_path, capsys):
    _database(volume / "whole")
    for _ in range(2):  # the directory is made by the first
        assert told(capsys, agent, "backup", volume)[0] == 0
    status, document = told(capsys, agent, "ls", volume)
    names = [row["name"] for row in document["entries"]]
    assert "whole" in names
    status, document = told(capsys, agent, "ls", volume / os.fsdecode(DIRECTORY))
    assert status != 0 or not [row for row in document["entries"] if len(row["name"]) == 64]
