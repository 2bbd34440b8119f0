"""Clones on real XFS and btrfs: what is read is the file of one moment, and nothing of a clone stays. Skipped where mounting is not permitted."""

import fcntl
import os
import struct
import threading
import time

import pytest

from agent_pc.afm import plain
from agent_pc.afm.clone import Clone
from agent_pc.afm.options import Options as Files
from agent_pc.afm.plain import Plain
from agent_pc.afm.sources import Sources
from agent_pc.backup import Options, backup
from agent_pc.bdm import librsync, reader
from agent_pc.cache import Cache
from firmware.formats import dtf
from tests.agent.rig import snapshot, told
from tests.fda.volume import Volume

_MIB = 1 << 20


@pytest.fixture(scope="module", params=("xfs", "btrfs"))
def clonable(request, tmp_path_factory):
    made = Volume(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture
def folder(clonable, request):
    path = clonable.path / str(abs(hash(request.node.name)))
    path.mkdir()
    return path


def _path(folder, name: str, data: bytes, age_s: float = 3600) -> bytes:
    path = os.fsencode(folder / name)
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_a_clone_is_the_file_of_its_moment(folder):
    data = os.urandom(5 * _MIB)
    path = _path(folder, "f", data)
    status = os.lstat(path)
    frozen = Clone().open(path)
    with open(path, "r+b") as file:
        file.write(bytes(_MIB))
        file.truncate(2 * _MIB)
    assert os.pread(frozen.handle, 6 * _MIB, 0) == data and frozen.verdict() == (dtf.SNAPSHOT, "")
    assert (frozen.status.st_mtime_ns, frozen.status.st_size, frozen.status.st_ino) == (
        status.st_mtime_ns,
        5 * _MIB,
        status.st_ino,
    )
    assert os.listdir(folder) == ["f"]
    frozen.close()


def test_with_coarse_times_the_next_backup_looks_again(folder, monkeypatch):
    """A write in the same tick as the clone would not show in the file's times."""
    monkeypatch.setattr(plain, "FINE", False)
    path = _path(folder, "f", b"x")
    status = os.lstat(path)
    assert Clone().open(path).status.st_ctime_ns == status.st_ctime_ns - 1
    time.sleep(plain.TICK_NS / 1e9)
    frozen = Clone().open(path).status
    assert frozen.st_ctime_ns == status.st_ctime_ns and frozen.st_mtime_ns == status.st_mtime_ns
    assert [plain.fine(text) for text in ("6.1.0-44-amd64", "6.13.0", "7.0", "x")] == [False, True, True, False]


def test_holes_stay_holes(folder):
    path = os.fsencode(folder / "sparse")
    with open(path, "wb") as file:
        file.seek(8 * _MIB)
        file.write(b"x" * 65536)
        file.truncate(16 * _MIB)
    frozen = Clone().open(path)
    assert os.lseek(frozen.handle, 0, os.SEEK_DATA) == 8 * _MIB
    frozen.close()


def test_a_file_without_copy_on_write_is_cloned_too(clonable, folder):
    """Databases on btrfs are often so (chattr +C); such a file clones only into another one of the kind."""
    if "btrfs" not in str(clonable.path):
        pytest.skip("only btrfs has them")
    path = os.fsencode(folder / "db")
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.ioctl(handle, 0x40086602, struct.pack("l", 0x00800000))
    os.write(handle, b"pages" * 100_000)
    frozen = Clone().open(path)
    assert frozen is not None and os.pread(frozen.handle, 10, 0) == b"pagespages"
    frozen.close()
    os.close(handle)


def test_no_link_is_followed_and_no_directory_cloned(folder):
    _path(folder, "f", b"x")
    os.symlink("f", folder / "link")
    os.mkfifo(folder / "fifo")
    assert [Clone().open(os.fsencode(folder / name)) for name in ("link", "fifo", "none", ".")] == [None] * 4


def test_nothing_is_left_after_a_crash(clonable, folder):
    data = os.urandom(64 * _MIB)
    path = _path(folder, "large", data)
    os.sync()
    before = os.statvfs(folder).f_bfree
    frozen = Clone().open(path)
    with open(path, "r+b") as file:  # now the clone alone holds the old blocks
        file.write(os.urandom(64 * _MIB))
    os.sync()
    frozen.close()
    clonable.crash()
    for _ in range(100):  # the filesystem frees in the background
        os.sync()
        if os.statvfs(folder).f_bfree >= before - 256:
            break
        time.sleep(0.1)
    assert os.statvfs(folder).f_bfree >= before - 256 and os.listdir(folder) == ["large"]


def test_where_there_are_no_clones_none_is_tried_twice(tmp_path):
    ext4 = Volume("ext4", tmp_path)
    try:
        path = _path(ext4.path, "f", b"x" * 100)
        clone, opened = Clone(), []
        assert clone.open(path) is None
        clone._take = lambda *row: opened.append(row)
        assert clone.open(path) is None and not opened
    finally:
        ext4.close()


def test_large_files_are_read_from_a_clone_small_ones_as_they_are(folder):
    sources = Sources(Files())
    large, small = _path(folder, "large", bytes(5 * _MIB)), _path(folder, "small", b"x")
    assert sources.open(large, os.lstat(large)).label == dtf.SNAPSHOT
    plain = sources.open(small, os.lstat(small))
    assert type(plain) is Plain and plain.label == dtf.QUIESCED
    assert sources.open(small, os.lstat(small), 1).label == dtf.SNAPSHOT  # it changed while it was read the first time


def test_a_small_file_that_keeps_changing_comes_whole(folder, monkeypatch):
    """Read twice as it is it would never be one moment; the second attempt reads a clone."""
    path = _path(folder, "f", b"a" * 100_000)
    real = librsync.sums

    def sums(data, chunk_bytes):
        with open(path, "r+b") as file:
            file.write(os.urandom(100_000))
        return real(data, chunk_bytes)

    monkeypatch.setattr(librsync, "sums", sums)
    messages = list(reader.read(path, os.lstat(path), None, False))
    assert [message[0] for message in messages].count("restart") == 1
    assert messages[-1][1].label == dtf.SNAPSHOT and messages[-1][1].changed == ""


def test_a_backup_shows_the_labels(appliance, folder, tmp_path, capsys):
    _path(folder, "old", b"old" * 10_000)
    _path(folder, "large", os.urandom(5 * _MIB))
    _path(folder, "recent", b"recent" * 100, 0)
    _path(folder, "empty", b"", 0)
    agent = appliance.agent("labels" + folder.parent.name, tmp_path)
    before = snapshot(folder)
    status, document = told(capsys, agent, "backup", folder, "--write-free", 0.5)
    assert status == 0 and document["notices"] == [] and document["new"] == 4
    _, listed = told(capsys, agent, "ls", folder)
    assert {row["name"]: row["label"] for row in listed["entries"]} == {
        "old": "quiesced",
        "large": "snapshot",
        "recent": "quiesced",
        "empty": "quiesced",
    }
    assert agent.run("ls", folder) == 0
    assert " snapshot  large" in capsys.readouterr().out
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{folder}") == before


def test_a_file_that_is_always_written_to_comes_as_of_one_moment(appliance, folder, tmp_path):
    """Every record has the same number 4096 times: a torn file would show two in one record."""
    path = folder / "records"
    path.write_bytes(bytes(8 * _MIB))
    stop = threading.Event()

    def write():
        turn = 0
        with open(path, "r+b", buffering=0) as file:
            while not stop.is_set():
                turn = (turn + 1) % 250
                file.seek(0)
                file.write(bytes([turn]) * 8 * _MIB)

    writer = threading.Thread(target=write)
    writer.start()
    agent = appliance.agent("always" + folder.parent.name, tmp_path)
    try:
        with agent.session() as session:
            result = backup(session, [str(folder)], Cache(None), Options(afm=Files(write_free_s=1, give_up_s=2)))
    finally:
        stop.set()
        writer.join()
    assert not result.problems
    [(name, text)] = result.notices
    assert name == os.fsencode(path) and "no 1 s without a write within 2 s; taken as of one moment" in text
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    with open(f"{tmp_path}/out{path}", "rb") as file:
        data = file.read()
    assert len(data) == 8 * _MIB and len(set(data[::4096])) <= 2
