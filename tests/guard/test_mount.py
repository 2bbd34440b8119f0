"""The guarded mount as programs use it: it is the directory behind it, and a frozen file stays as it was."""

import os
import random
import stat
import subprocess

import pytest

from agent_pc.guard import client, names
from tests.guard.rig import Mount


def _frozen(path):
    handle, status = client.open_frozen(os.fsencode(path))
    return handle, status


def _all(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size + 100, 0)


_ATTACKS = {
    "overwrite": lambda path: _write(path, 5000, b"new" * 3000),
    "truncate": lambda path: os.truncate(path, 10),
    "truncate and grow": lambda path: (os.truncate(path, 100), os.truncate(path, 200_000)),
    "open to truncate": lambda path: path.write_bytes(b"other"),
    "append": lambda path: _append(path, b"more" * 1000),
    "delete": lambda path: path.unlink(),
    "rename": lambda path: path.rename(path.with_name("elsewhere")),
    "rename over": lambda path: (path.with_name("new").write_bytes(b"new"), path.with_name("new").rename(path)),
    "delete and create": lambda path: (path.unlink(), path.write_bytes(b"again")),
    "punch": lambda path: subprocess.run(["fallocate", "-p", "-o", "8192", "-l", "8192", path], check=True),
    "zero": lambda path: subprocess.run(["fallocate", "-z", "-o", "8192", "-l", "8192", path], check=False),
    "map": lambda path: _map(path),
}


def _write(path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def _append(path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _map(path) -> None:
    import mmap

    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[100:200] = b"m" * 100
        view.flush()


@pytest.mark.parametrize("attack", _ATTACKS)
@pytest.mark.parametrize("when", ["before the reading", "in the middle"])
def test_frozen_moment(mount, attack, when):
    path = mount.path / "below" / "file"
    path.parent.mkdir()
    was = os.urandom(150_001)
    path.write_bytes(was)
    times = os.lstat(path).st_mtime_ns
    handle, status = _frozen(path)
    read = b"" if when.startswith("before") else os.pread(handle, 50_000, 0)
    _ATTACKS[attack](path)
    read += os.pread(handle, 1 << 20, len(read))
    assert read == was and client.broken(handle) == ""
    assert (status.st_size, status.st_mtime_ns) == (len(was), times) and stat.S_ISREG(status.st_mode)
    os.close(handle)
    if path.exists():
        assert path.read_bytes() == (mount.source / "below" / "file").read_bytes()


def test_the_source_path_leads_to_the_guard_too(mount):
    (mount.path / "a").write_bytes(b"one")
    handle, status = _frozen(mount.source / "a")
    assert status.st_dev == os.lstat(mount.source / "a").st_dev
    (mount.path / "a").write_bytes(b"two")
    assert _all(handle) == b"one"
    os.close(handle)
    os.symlink("a", mount.path / "link")
    os.mkfifo(mount.path / "pipe")
    for path in (mount.state / "x", mount.path / "gone", mount.path / "link", mount.path / "pipe", mount.path):
        assert client.open_frozen(os.fsencode(path)) is None


def test_a_full_spool_is_told(tmp_path):
    mount = Mount(tmp_path, 1)
    try:
        path = mount.path / "big"
        path.write_bytes(b"a" * (4 << 20))
        handle, _ = _frozen(path)
        path.write_bytes(b"b" * (4 << 20))
        assert "full" in client.broken(handle)
        os.close(handle)
    finally:
        mount.close()


def test_the_guards_own_directory_is_hidden_and_refuses_changes(mount):
    (mount.path / "a").write_bytes(b"a")
    assert os.listdir(mount.path) == ["a"]
    own = mount.path / names.DIRECTORY
    assert own.stat().st_mode & 0o777 == 0o700
    for change in (
        lambda: (own / "x" / "a").unlink(),
        lambda: (own / "x" / "a").write_bytes(b"z"),
        lambda: (own / "x" / "b").mkdir(),
        lambda: (mount.path / "a").rename(own / "x" / "b"),
        lambda: os.truncate(own / "x" / "a", 0),
    ):
        with pytest.raises(OSError):
            change()
    assert (mount.source / "a").read_bytes() == b"a"


def test_metadata_passes_through(mount):
    path = mount.path / "a"
    path.write_bytes(b"a")
    os.chmod(path, 0o640)
    os.chown(path, 12, 34)
    os.setxattr(path, "user.x", b"y")
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    os.link(path, mount.path / "b")
    os.symlink("a", mount.path / "c")
    os.mkfifo(mount.path / "d")
    real = os.lstat(mount.source / "a")
    assert (stat.S_IMODE(real.st_mode), real.st_uid, real.st_gid, real.st_nlink) == (0o640, 12, 34, 2)
    assert (real.st_atime_ns, real.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    seen = os.lstat(path)
    assert seen.st_ino == real.st_ino == os.lstat(mount.path / "b").st_ino and seen.st_mtime_ns == real.st_mtime_ns
    assert os.getxattr(mount.source / "a", "user.x") == os.getxattr(path, "user.x") == b"y"
    assert os.listxattr(path) == ["user.x"]
    os.removexattr(path, "user.x")
    assert os.readlink(mount.path / "c") == "a" and stat.S_ISFIFO(os.lstat(mount.source / "d").st_mode)
    subprocess.run(["touch", "-m", str(path)], check=True)
    real = os.lstat(mount.source / "a")
    assert real.st_atime_ns == 1_000_000_001 and real.st_mtime_ns > 2_000_000_002


def test_what_a_user_makes_is_the_users(mount):
    os.chmod(mount.path, 0o777)
    (mount.path / "other").write_bytes(b"")

    def nobody(text: str) -> int:  # from within: the directories above are root's
        return subprocess.run(
            ["sh", "-c", text], cwd=mount.path, user=65534, group=65534, extra_groups=(), capture_output=True
        ).returncode

    assert nobody("touch mine") == 0 and nobody("mkdir ours") == 0
    assert os.lstat(mount.source / "mine").st_uid == os.lstat(mount.source / "ours").st_uid == 65534
    assert nobody("echo x > other") != 0 and (mount.source / "other").read_bytes() == b""
    assert nobody(f"cat {names.DIRECTORY}/x/mine") != 0


def test_mounted_over_the_source_itself(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(b"one")
    (tmp_path / "mount").symlink_to("source")
    mount = Mount(tmp_path)
    try:
        handle, _ = _frozen(tmp_path / "source" / "a")
        (tmp_path / "source" / "a").write_bytes(b"two")
        assert _all(handle) == b"one"
        os.close(handle)
    finally:
        mount.close()
    assert (tmp_path / "source" / "a").read_bytes() == b"two"


def test_random_operations_do_what_they_do_to_a_plain_directory(mount, tmp_path):
    """As fsx does: two trees, the same operations, files frozen now and then; all must stay equal."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    plain = tmp_path / "plain"
    plain.mkdir()
    held: list = []
    for _ in range(600):
        name, other = rng.choice("abcdef"), rng.choice("abcdef")
        step = rng.choice(
            ["write", "write", "write", "append", "truncate", "create", "delete", "rename", "link", "freeze", "thaw", "read"]
        )
        offset, data = rng.randrange(100_000), rng.randbytes(rng.randrange(1, 30_000))
        if step == "freeze" and (plain / name).exists() and len(held) < 4:
            held.append((_frozen(mount.path / name)[0], (plain / name).read_bytes()))
            continue
        if step == "thaw" and held:
            handle, was = held.pop(rng.randrange(len(held)))
            assert _all(handle) == was and not client.broken(handle)
            os.close(handle)
            continue
        assert _outcome(step, mount.path, name, other, offset, data) == _outcome(step, plain, name, other, offset, data), step
    for handle, was in held:
        assert _all(handle) == was and not client.broken(handle)
        os.close(handle)
    for tree in (mount.path, mount.source):
        assert {path.name: path.read_bytes() for path in tree.iterdir()} == {
            path.name: path.read_bytes() for path in plain.iterdir()
        }


def _outcome(step: str, tree, name: str, other: str, offset: int, data: bytes):
    """What a program sees: a result or an error number."""
    path = tree / name
    try:
        if step == "write":
            return _write(path, offset, data)
        if step == "append":
            return _append(path, data)
        if step == "truncate":
            return os.truncate(path, offset)
        if step == "create":
            return path.write_bytes(data) and None
        if step == "delete":
            return path.unlink()
        if step == "rename":
            return os.rename(path, tree / other)
        if step == "link":
            return os.link(path, tree / other)
        return path.read_bytes()[offset : offset + 1000], path.stat().st_size, path.stat().st_nlink
    except OSError as error:
        return error.errno
