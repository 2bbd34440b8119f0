"""bdm.difference and bdm.reader: whatever was edited, the old chunks and the new data together are the new file."""

import os
import random

import pytest

from agent_pc.bdm import librsync, reader
from agent_pc.bdm import prints as sets
from agent_pc.bdm.old import Old
from agent_pc.packs import blake
from firmware.formats import fileobject, limits

_CHUNK = 8192


class Held:
    """What the appliance would hold: chunks by (group, index), file objects as bytes."""

    def __init__(self):
        self.chunks = {}
        self.group = 0

    def take(self, path, old):
        """Read a file as a backup does; returns (Old of the new version, bytes of new chunks, Outcome)."""
        self.group += 1
        runs, rows, fresh, index, same = [], [], 0, 0, False
        for message in reader.read(path, os.lstat(path), old, False):
            kind = message[0]
            if kind == "chunks":
                at = 0
                for length, weak, strong in sets.unpack(message[2].prints()):
                    piece = message[1][at : at + length]
                    assert blake(piece)[:8] == strong and length <= limits.CHUNK_BYTES
                    self.chunks[self.group, index] = piece
                    runs.append((self.group, index, 1))
                    rows.append((length, weak, strong))
                    index, at, fresh = index + 1, at + length, fresh + length
                assert at == len(message[1]) == message[2].length
            elif kind == "runs":
                runs.extend(message[1])
                rows.extend(sets.unpack(message[2]))
            elif kind == "hole":
                runs.append(fileobject.hole(message[1]))
            elif kind == "restart":
                runs, rows = [], []
            elif kind == "same":
                same = True
            else:
                assert kind == "done", message
                outcome = message[1]
        if same:
            return old, 0, outcome
        body = fileobject.FILE.pack(outcome.size, outcome.chunk_bytes, outcome.flags, 0, 0, 0, outcome.signature, runs)
        made = Old((self.group, 0), body)
        assert made.take_prints(sets.pack(rows))
        return made, fresh, outcome

    def contents(self, old) -> bytes:
        out = []
        for run in old.file.runs:
            if run[0] == fileobject.HOLE_GROUP:
                out.append(bytes(fileobject.hole_bytes(run)))
            else:
                out.extend([self.chunks[run[0], at] for at in range(run[1], run[1] + run[2])])
        return b"".join(out)


def _canonical(data: bytes, chunk_bytes: int) -> bytes:
    return blake(librsync.sums(data, chunk_bytes).rows)


def _write(path, data: bytes):
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    return os.fsencode(path)


def test_librsync_strong_sum_is_blake2b_256():
    data = os.urandom(100_003)
    sums = librsync.sums(data, _CHUNK)
    assert (sums.chunk, sums.count, sums.last, sums.length) == (_CHUNK, 13, 100_003 - 12 * _CHUNK, len(data))
    strong = [sums.rows[at + 4 : at + 36] for at in range(0, 13 * 36, 36)]
    assert strong == [blake(data[at : at + _CHUNK]) for at in range(0, len(data), _CHUNK)]
    assert sums.part(2, 13).rows == librsync.sums(data[2 * _CHUNK :], _CHUNK).rows
    assert [row[0] for row in sets.unpack(sums.prints())] == [_CHUNK] * 12 + [sums.last]


@pytest.mark.parametrize("seed", range(40))
def test_random_edits_give_the_new_file(tmp_path, seed):
    print("seed", seed)
    rng = random.Random(seed)
    held, old = Held(), None
    data = bytearray(rng.randbytes(rng.randrange(60_000, 1_500_000)))
    for _ in range(6):
        path = _write(tmp_path / "f", bytes(data))
        old, _, outcome = held.take(path, old)
        assert held.contents(old) == data
        assert old.file.signature == _canonical(bytes(data), old.file.chunk_bytes) and outcome.size == len(data)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data) + 1)
            edit = rng.randrange(5)
            if edit == 0:
                data[at:at] = rng.randbytes(rng.randrange(1, 20_000))
            elif edit == 1:
                del data[at : at + rng.randrange(1, 50_000)]
            elif edit == 2:
                data[at : at + 4096] = rng.randbytes(4096)
            elif edit == 3:
                data[at:at] = data[: rng.randrange(1, 100_000)]
            else:
                data += rng.randbytes(rng.randrange(1, 300_000))
        if len(data) < 40_000:
            data += rng.randbytes(60_000)


def test_insertion_in_front_sends_only_the_insertion(tmp_path):
    held = Held()
    data = os.urandom(3_000_000)
    old, _, _ = held.take(_write(tmp_path / "f", data), None)
    for turn in range(4):
        data = os.urandom(10) + data
        old, fresh, outcome = held.take(_write(tmp_path / "f", data), old)
        assert fresh == 10, turn  # also the odd chunks of earlier turns are found
        assert outcome.flags == fileobject.IRREGULAR
        assert held.contents(old) == data


def test_pages_changed_in_place_stay_canonical(tmp_path):
    held = Held()
    data = bytearray(os.urandom(400 * _CHUNK))
    old, _, _ = held.take(_write(tmp_path / "f", bytes(data)), None)
    for page in (0, 7, 8, 200, 399):
        data[page * _CHUNK : page * _CHUNK + 100] = os.urandom(100)
    old, fresh, outcome = held.take(_write(tmp_path / "f", bytes(data)), old)
    assert fresh == 5 * _CHUNK and outcome.flags == 0
    assert held.contents(old) == data


def test_touched_file_is_the_same(tmp_path):
    held = Held()
    for size in (20_000, 900_000):
        data = os.urandom(size)
        old, _, _ = held.take(_write(tmp_path / "f", data), None)
        again, fresh, _ = held.take(_write(tmp_path / "f", data), old)
        assert again is old and fresh == 0


def test_holes_are_runs_and_survive_a_difference(tmp_path):
    held = Held()
    path = tmp_path / "f"
    with open(path, "wb") as file:
        for at in (0, 1 << 20, 5 << 20):
            file.seek(at)
            file.write(os.urandom(100_000))
        file.truncate(8 << 20)
    old, fresh, _ = held.take(os.fsencode(path), None)
    assert held.contents(old) == path.read_bytes()
    holes = sum([fileobject.hole_bytes(run) for run in old.file.runs if run[0] == fileobject.HOLE_GROUP])
    if os.stat(path).st_blocks * 512 < 1 << 20:  # the filesystem knows holes
        assert holes > 7 << 20 and fresh < 400_000
    with open(path, "r+b") as file:
        file.seek((1 << 20) + 50_000)
        file.write(b"changed")
    new, fresh, _ = held.take(os.fsencode(path), old)
    assert held.contents(new) == path.read_bytes() and fresh <= 2 * _CHUNK


def test_fingerprints_that_do_not_fit_are_refused(tmp_path):
    held = Held()
    data = os.urandom(200_000)
    old, _, _ = held.take(_write(tmp_path / "f", data), None)
    assert not old.take_prints(old.prints[:-16])
    old.prints = sets.pack([(100, 1, bytes(8))] * old.chunks)  # the right count, wrong lengths
    new, fresh, _ = held.take(_write(tmp_path / "f", data + b"x"), old)
    assert held.contents(new) == data + b"x" and fresh == len(data) + 1


def test_a_vanished_or_replaced_file_fails_with_a_text(tmp_path):
    path = _write(tmp_path / "f", b"x" * 100)
    status = os.lstat(path)
    os.unlink(path)
    assert list(reader.read(path, status, None, False)) == [("failed", "No such file or directory")]
    os.mkfifo(path)
    [(kind, text)] = reader.read(path, status, None, False)
    assert kind == "failed" and "regular" in text
    os.unlink(path)
    os.symlink("/etc/passwd", path)
    [(kind, _)] = reader.read(path, status, None, False)
    assert kind == "failed"


def test_a_file_that_keeps_changing_is_labelled(tmp_path, monkeypatch):
    path = _write(tmp_path / "f", os.urandom(50_000))
    turn = iter(range(100))

    def sums(data, chunk_bytes, real=librsync.sums):
        os.utime(path, ns=(next(turn) + 5, next(turn) + 5))
        return real(data, chunk_bytes)

    monkeypatch.setattr(librsync, "sums", sums)
    messages = list(reader.read(path, os.lstat(path), None, False))
    assert [message[0] for message in messages].count("restart") == 2
    assert "changed" in messages[-1][1].changed and messages[-1][1].label == 0
