"""The verb `flash`: what it refuses, what it shows, and that the disk then holds the image. Loop devices need root."""

import os
import subprocess
from pathlib import Path

import pytest

from image import flash
from image.paths import SEARCH, BuildError

_MIB = 1 << 20


def _image(folder: Path) -> Path:
    path = folder / "bobbin.img"
    path.write_bytes(os.urandom(5 * _MIB + 512))
    return path


@pytest.fixture
def disk(tmp_path):
    """A loop device of 16 MiB."""
    backing = tmp_path / "disk"
    backing.write_bytes(bytes(16 * _MIB))
    made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, env={"PATH": SEARCH})
    if made.returncode:
        pytest.skip("no loop device: " + made.stderr.strip())
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "--detach", made.stdout.strip()], env={"PATH": SEARCH}, check=True)


class _Arguments:
    def __init__(self, device: Path, image: Path):
        self.device = str(device)
        self.image = image


def test_written_and_compared(disk, tmp_path, monkeypatch, capsys):
    source = _image(tmp_path)
    monkeypatch.setattr("builtins.input", lambda prompt: "ERASE")
    assert flash.run(_Arguments(disk, source)) == 0
    assert disk.open("rb").read(source.stat().st_size) == source.read_bytes()
    assert "erases %s" % disk in capsys.readouterr().out


def test_nothing_happens_without_the_word(disk, tmp_path, monkeypatch):
    for answer in ("", "yes", "erase"):
        monkeypatch.setattr("builtins.input", lambda prompt, answer=answer: answer)
        assert flash.run(_Arguments(disk, _image(tmp_path))) == 1
    assert disk.open("rb").read(_MIB) == bytes(_MIB)


def test_too_small(disk, tmp_path):
    source = tmp_path / "large.img"
    source.touch()
    os.truncate(source, 17 * _MIB)
    with pytest.raises(BuildError, match="the image needs"):
        flash.run(_Arguments(disk, source))


def test_a_mounted_disk_is_refused(disk, tmp_path):
    subprocess.run(["mke2fs", "-q", "-F", str(disk)], env={"PATH": SEARCH}, check=True)
    where = tmp_path / "mnt"
    where.mkdir()
    if subprocess.run(["mount", str(disk), str(where)], env={"PATH": SEARCH}, capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with pytest.raises(BuildError, match="in use"):
            flash.run(_Arguments(disk, _image(tmp_path)))
    finally:
        subprocess.run(["umount", str(where)], env={"PATH": SEARCH}, check=True)


def test_the_system_disk_is_refused(tmp_path):
    listed = subprocess.run(["findmnt", "-n", "-o", "SOURCE", "/"], capture_output=True, text=True, env={"PATH": SEARCH})
    root = Path(listed.stdout.strip().partition("[")[0])
    if not root.is_block_device():
        pytest.skip("the root file system is on no block device")
    with pytest.raises(BuildError):
        flash.inspect(root)


def test_what_is_no_disk_is_refused(tmp_path):
    for path, reason in ((tmp_path / "nothing", "does not exist"), (_image(tmp_path), "not a block device")):
        with pytest.raises(BuildError, match=reason):
            flash.run(_Arguments(path, None))


def test_a_medium_that_lies_is_noticed(tmp_path):
    source, target = _image(tmp_path), tmp_path / "target"
    target.write_bytes(bytes(6 * _MIB))
    flash.write(source, target)
    flash.compare(source, target)
    with open(target, "r+b") as out:
        out.seek(3 * _MIB + 5)
        out.write(bytes([source.read_bytes()[3 * _MIB + 5] ^ 1]))
    with pytest.raises(BuildError, match="differs"):
        flash.compare(source, target)
