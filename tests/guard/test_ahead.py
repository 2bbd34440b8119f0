"""guard.ahead: a file that is overwritten from its end while it is read goes out of order, through a spool that never holds it all."""

import hashlib
import os

import pytest

from agent_pc.bdm import contents, librsync
from agent_pc.bdm import prints as sets
from agent_pc.guard import ahead, client
from tests.guard.rig import Mount

_CHUNK = 8192


@pytest.fixture
def mount(tmp_path):
    if not os.path.exists("/dev/fuse") or os.geteuid():
        pytest.skip("needs /dev/fuse and root")
    made = Mount(tmp_path, 1)
    yield made
    made.close()


class Held:
    """What assembly makes of the messages."""

    def __init__(self):
        self.early, self.kinds, self.out, self.rows = {}, [], [], []

    def take(self, message):
        kind, sums = message[0], message[-1]
        self.kinds.append(kind)
        if kind == "late":
            _, key, first, sums = message
            data = b"".join(self.early[key][first : first + sums.count])
        else:
            data = message[-2]
            pieces, at = [], 0
            for length, _, strong in sets.unpack(sums.prints()):
                pieces.append(data[at : at + length])
                assert hashlib.blake2b(pieces[-1], digest_size=32).digest()[:8] == strong
                at += length
        if kind == "early":
            self.early[message[1]] = pieces
        else:
            self.out.append(data)
            self.rows.append(sums)


@pytest.mark.parametrize("size", [8 << 20, (8 << 20) + 5000])
def test_overwritten_from_the_end(mount, size):
    path, was = mount.path / "big", os.urandom(size)
    path.write_bytes(was)
    handle, _ = client.open_frozen(os.fsencode(path))
    held, lane, at = Held(), 3 * 65536 + 1000, size
    with open(path, "r+b", 0) as file:
        for message in ahead.messages(handle, 0, size, _CHUNK):
            held.take(message)
            if held.kinds[-1] != "early" and at > 0:
                at = max(0, at - lane)
                file.seek(at)
                file.write(os.urandom(lane))
    assert b"".join(held.out) == was and client.broken(handle) == ""
    assert {"early", "late", "chunks"} == set(held.kinds)
    assert all(length == _CHUNK for sums in held.rows[:-1] for length, _, _ in sets.unpack(sums.prints()))
    signer = contents.Signer()
    for sums in held.rows:
        signer.sums(sums)
    plain = contents.Signer()
    plain.known(librsync.sums(was, _CHUNK).rows, size)
    assert signer.digest(size) == plain.digest(size)
    os.close(handle)
    assert path.read_bytes() != was


def test_what_was_released_is_never_read_as_something_else(mount):
    path = mount.path / "big"
    path.write_bytes(b"a" * (1 << 20))
    handle, _ = client.open_frozen(os.fsencode(path))
    with open(path, "r+b", 0) as file:
        file.write(b"b" * 100_000)
    assert len(list(ahead.messages(handle, 0, 1 << 20, _CHUNK))) > 2
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    with pytest.raises(OSError):
        os.pread(handle, 4096, 0)
    os.close(handle)


def test_other_files_are_read_in_order(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(os.urandom(1_000_000))
    handle = os.open(path, os.O_RDONLY)
    found = list(ahead.messages(handle, 0, 1_000_000, _CHUNK))
    assert {message[0] for message in found} == {"chunks"} and b"".join([row[1] for row in found]) == path.read_bytes()
    os.close(handle)
