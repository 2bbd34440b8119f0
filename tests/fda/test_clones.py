"""fda.clones on XFS and btrfs: what was not written is told from what was, without reading; space comes back."""

import os
import random

import pytest

from agent_pc.fda import extents
from agent_pc.fda.clones import DIRECTORY, Bounds, Clones

_BLOCK = 4096


def _moment(clones, path):
    handle = os.open(path, os.O_RDONLY)
    try:
        return clones.moment(os.fsencode(path), handle)
    finally:
        os.close(handle)


def _kept(clones, path, signature):
    moment = _moment(clones, path)
    moment.keep(signature)
    moment.close()


def _changed(clones, path, signature):
    moment = _moment(clones, path)
    try:
        return moment.changed(signature)
    finally:
        moment.close()


def _write(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def clones(volume):
    made = Clones(Bounds(free_share=0.01))
    yield made
    for name in os.listdir(volume / os.fsdecode(DIRECTORY)):
        os.unlink(volume / os.fsdecode(DIRECTORY) / name)
    for path in volume.iterdir():
        if path.is_file():
            path.unlink()


def test_nothing_written_is_nothing_changed(volume, clones):
    path = volume / "still"
    path.write_bytes(os.urandom(1 << 20))
    _kept(clones, path, b"s" * 32)
    assert list(_changed(clones, path, b"s" * 32)) == []
    assert _changed(clones, path, b"t" * 32) is None


def test_a_written_block_is_changed_and_the_rest_is_not(volume, clones):
    path = volume / "page"
    path.write_bytes(os.urandom(8 << 20))
    _kept(clones, path, b"s" * 32)
    _write(path, 5 << 20, b"x" * 100)  # still in the page cache
    found = _changed(clones, path, b"s" * 32)
    assert found.within(5 << 20, (5 << 20) + 100) and found.bytes <= 16 * _BLOCK


def test_append_truncate_and_holes(volume, clones):
    path = volume / "grows"
    path.write_bytes(os.urandom(1 << 20))
    _kept(clones, path, b"s" * 32)
    with open(path, "ab") as file:
        file.write(b"more")
    assert _changed(clones, path, b"s" * 32).within(1 << 20, (1 << 20) + 4)
    os.truncate(path, 1 << 19)
    assert list(_changed(clones, path, b"s" * 32)) == [(1 << 19, 1 << 20)]
    os.truncate(path, 3 << 20)
    assert list(_changed(clones, path, b"s" * 32)) == [(1 << 19, 3 << 20)]


def test_random_writes_lose_nothing(volume, clones):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    path, size = volume / "random", 2 << 20
    data = bytearray(rng.randbytes(size))
    for round_ in range(6):
        path.write_bytes(data) if not round_ else None
        before, signature = bytes(data), bytes([round_]) * 32
        _kept(clones, path, signature)
        handle = os.open(path, os.O_RDWR)
        for _ in range(rng.randrange(20)):
            start = rng.randrange(size)
            piece = rng.randbytes(rng.randrange(1, 20_000))[: size - start]
            os.pwrite(handle, piece, start)
            data[start : start + len(piece)] = piece
        if rng.random() < 0.5:  # preallocated, not written: zeros before and after
            os.posix_fallocate(handle, 0, size)
        os.close(handle)
        found = _changed(clones, path, signature)
        wrong = [
            at
            for start, end in found.outside(0, size)
            for at in range(start, end, 512)
            if before[at : at + 512] != data[at : at + 512]
        ]
        assert not wrong


def test_preallocated_blocks_that_get_written_are_changed(volume, clones):
    path = volume / "prealloc"
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
    _kept(clones, path, b"s" * 32)
    assert list(_changed(clones, path, b"s" * 32)) == []
    _write(path, 1 << 19, b"x" * _BLOCK)
    assert _changed(clones, path, b"s" * 32).within(1 << 19, (1 << 19) + _BLOCK) == [(1 << 19, (1 << 19) + _BLOCK)]


def test_a_clone_costs_what_was_overwritten_and_goes_when_it_is_too_much(volume, clones):
    path = volume / "cost"
    path.write_bytes(os.urandom(4 << 20))
    _kept(clones, path, b"s" * 32)
    kept = volume / os.fsdecode(DIRECTORY) / (b"s" * 32).hex()
    with open(kept, "rb") as file:
        assert extents.exclusive_bytes(file.fileno()) == 0
    path.write_bytes(os.urandom(4 << 20))
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    clones.tidy()
    assert kept.exists()
    small = Clones(Bounds(held_bytes=1 << 20, free_share=0.01))
    _moment(small, path).close()
    small.tidy()
    assert not kept.exists()


def test_the_clone_of_a_deleted_file_goes(volume, clones):
    path = volume / "gone"
    path.write_bytes(os.urandom(1 << 20))
    _kept(clones, path, b"s" * 32)
    path.unlink()
    clones.tidy()
    assert not (volume / os.fsdecode(DIRECTORY) / (b"s" * 32).hex()).exists()


def test_no_clone_is_made_where_space_is_short(volume, clones):
    path = volume / "short"
    path.write_bytes(os.urandom(1 << 20))
    assert _moment(Clones(Bounds(free_share=1.0)), path) is None


def test_the_directory_is_private_and_tagged(volume, clones):
    path = volume / "a"
    path.write_bytes(os.urandom(1 << 20))
    _moment(clones, path).close()
    place = volume / os.fsdecode(DIRECTORY)
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_other_filesystems_are_not_covered():
    handle = os.open("/proc/self/status", os.O_RDONLY)
    try:
        assert Clones().moment(b"/proc/self/status", handle) is None
    finally:
        os.close(handle)
