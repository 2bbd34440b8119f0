"""The guard's log of written regions: kept over a clean stop, worth nothing after an unclean one or a write around the guard."""

import os
import random

import pytest

from agent_pc.exits import AgentError
from agent_pc.guard import client
from agent_pc.guard import mount as mounts
from agent_pc.guard.log import Log

_SIGN = b"\x07" * 32


def _moment(path):
    return client.GuardLog().moment(os.fsencode(path), -1)


def _keep(path, signature=_SIGN):
    moment = _moment(path)
    moment.keep(signature)
    moment.close()


def _changed(path, signature=_SIGN):
    moment = _moment(path)
    try:
        found = moment.changed(signature)
        return found if found is None else list(found)
    finally:
        moment.close()


def _write(path, offset, data):
    with open(path, "r+b", 0) as file:
        file.seek(offset)
        file.write(data)


def test_regions_since_a_version(mount):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    assert _changed(path) is None
    _keep(path)
    assert _changed(path) == []
    _write(path, 5000, b"x" * 100)
    assert _changed(path) == [(5000, 5100)]
    os.truncate(path, 90_000)
    assert _changed(path) == [(5000, 5100), (90_000, 100_000)]
    path.rename(mount.path / "b")
    assert _changed(mount.path / "b") == [(5000, 5100), (90_000, 100_000)]
    assert _changed(mount.path / "b", b"\x08" * 32) is None
    client.GuardLog().drop(_SIGN)
    assert _changed(mount.path / "b") is None


def test_what_is_written_while_it_is_read_counts_for_the_next_time(mount):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    moment = _moment(path)
    _write(path, 5000, b"x" * 100)
    moment.keep(_SIGN)
    moment.close()
    assert _changed(path) == [(5000, 5100)]


def test_a_clean_stop_keeps_the_log(mount):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    _keep(path)
    _write(path, 5000, b"x" * 100)
    mount.stop()
    mount.start()
    _write(path, 7000, b"x" * 100)
    assert _changed(path) == [(5000, 5100), (7000, 7100)]


def test_after_a_kill_nothing_is_known(mount):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    _keep(path)
    mount.stop()
    mount.start()
    assert _changed(path) == []
    mount.kill()
    mount.start()
    assert _changed(path) is None
    _keep(path)
    assert _changed(path) == []


@pytest.mark.parametrize("mounted", [True, False])
def test_a_write_around_the_guard_is_noticed(mount, mounted):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    os.utime(path, (1, 1))
    _keep(path)
    if not mounted:
        mount.stop()
    _write(mount.source / "a", 5000, b"x" * 100)
    if not mounted:
        mount.start()
    _write(path, 7000, b"x" * 100)
    assert _changed(path) is None


def test_an_inode_used_again_is_another_file(mount):
    path = mount.path / "a"
    path.write_bytes(os.urandom(100_000))
    _keep(path)
    path.unlink()
    for number in range(50):
        (mount.path / str(number)).write_bytes(os.urandom(100_000))
        assert _changed(mount.path / str(number)) is None


def test_random_writes_lose_nothing(mount):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    path = mount.path / "a"
    path.write_bytes(rng.randbytes(1 << 20))
    for round_ in range(5):
        before, signature = path.read_bytes(), bytes([round_]) * 32
        _keep(path, signature)
        for _ in range(rng.randrange(30)):
            _write(path, rng.randrange(1 << 20), rng.randbytes(rng.randrange(1, 5000)))
        moment = _moment(path)
        found, now = moment.changed(signature), path.read_bytes()
        moment.close()
        size = min(len(before), len(now))
        assert all(before[start:end] == now[start:end] for start, end in found.outside(0, size))
        assert found.bytes <= 30 * 5000


def test_one_source_one_guard(mount):
    directory = mounts.state_directory(str(mount.state), str(mount.source))
    with pytest.raises(AgentError) as told:
        Log(directory)
    assert told.value.name == "BUSY"


def test_a_log_that_makes_no_sense_is_none(tmp_path):
    Log(str(tmp_path)).close()
    for text in ("", "{}", "[[1,2]]", '[[1,2,3,{"a":[[1]]}]]', "[[1,2,3,4]]"):
        (tmp_path / "log.json").write_text(text)
        made = Log(str(tmp_path))
        assert made.entries == {}
        made.close()
