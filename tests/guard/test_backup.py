"""Backups of a guarded mount: by its log only what was written is read; after an unclean stop all of it; always one moment."""

import os
import random
import threading

import pytest

from agent_pc.guard.freezing import GuardedMount
from firmware.formats import dtf
from tests.agent.rig import told
from tests.guard.rig import Mount

_PAGE = 8192
_PAGES = 2048


@pytest.fixture
def agent(appliance, tmp_path):
    return appliance.agent(tmp_path.name, tmp_path)


def _database(path):
    path.write_bytes(os.urandom(_PAGE * _PAGES))
    os.utime(path, (1, 1))


def _touch_pages(path, rng, count):
    with open(path, "r+b") as file:
        for page in rng.sample(range(_PAGES), count):
            file.seek(page * _PAGE + 100)
            file.write(rng.randbytes(50))


def _restored(agent, path, tmp_path):
    target = tmp_path / f"back{random.random()}"
    assert agent.run("restore", path, "--to", target) == 0
    return (target / str(path).lstrip("/")).read_bytes()


def test_only_what_was_written_is_read(agent, mount, tmp_path, capsys, read):
    path, rng = mount.path / tmp_path.name, random.Random(1)
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    for clean_stop in (False, True, False):
        if clean_stop:
            mount.stop()
            mount.start()
        _touch_pages(path, rng, 20)
        read[0] = 0
        status, document = told(capsys, agent, "backup", path)
        assert status == 0 and document["modified"] == 1
        assert read[0] == 20 * _PAGE == document["chunk_bytes"]
        assert document["bytes_sent"] < 1.2 * 20 * _PAGE + 30_000
        assert _restored(agent, path, tmp_path) == path.read_bytes()


def test_after_a_kill_all_of_it_is_read_once(agent, mount, tmp_path, capsys, read):
    path, rng = mount.path / tmp_path.name, random.Random(2)
    _database(path)
    assert told(capsys, agent, "backup", path)[0] == 0
    _touch_pages(path, rng, 5)
    mount.kill()
    mount.start()
    _touch_pages(path, rng, 5)
    for expected in (_PAGES, 3):
        read[0] = 0
        status, document = told(capsys, agent, "backup", path)
        assert status == 0 and read[0] == expected * _PAGE
        assert _restored(agent, path, tmp_path) == path.read_bytes()
        _touch_pages(path, rng, 3)


def test_one_moment_of_a_file_that_is_written_all_the_time(agent, mount, tmp_path, capsys):
    """Every page carries its round; a moment holds a first part of one round and the rest of the round before."""
    path, stop = mount.path / tmp_path.name, threading.Event()
    path.write_bytes(bytes(_PAGE * _PAGES))
    rounds = [0]

    def write() -> None:
        with open(path, "r+b", 0) as file:
            while not stop.is_set():
                rounds[0] += 1
                for page in range(_PAGES):
                    file.seek(page * _PAGE)
                    file.write(rounds[0].to_bytes(8, "little") + os.urandom(100))
                    if stop.is_set():
                        return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            assert told(capsys, agent, "backup", path)[0] in (0, 7)
            data = _restored(agent, path, tmp_path)
            found = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), _PAGE)]
            assert found == sorted(found, reverse=True) and found[0] - found[-1] <= 1, sorted(set(found))
    finally:
        stop.set()
        writer.join()
    assert rounds[0] >= 1


def test_a_file_in_use_is_labelled_as_of_one_moment(agent, mount, tmp_path, capsys):
    path, stop = mount.path / tmp_path.name, threading.Event()
    path.write_bytes(os.urandom(_PAGE * 256))

    def write() -> None:
        with open(path, "r+b", 0) as file:
            while not stop.wait(0.001):
                file.seek(random.randrange(256) * _PAGE)
                file.write(os.urandom(100))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        status, document = told(capsys, agent, "backup", "--write-free", 5, "--give-up", 1, path)
        assert status == 0 and not document["failed"]
    finally:
        stop.set()
        writer.join()
    status, document = told(capsys, agent, "ls", path)
    [row] = document["entries"]
    assert row["label"] == "snapshot"


def test_a_full_spool_is_a_problem_that_is_told(agent, tmp_path):
    mount = Mount(tmp_path, 1)
    try:
        path = mount.path / "big"
        path.write_bytes(bytes(4 << 20))
        guard = GuardedMount()
        frozen = guard.open(os.fsencode(path))
        assert frozen.verdict() == (dtf.SNAPSHOT, "")
        path.write_bytes(os.urandom(4 << 20))
        label, text = frozen.verdict()
        assert label == dtf.UNGUARDED and "spool" in text
        frozen.close()
    finally:
        mount.close()
