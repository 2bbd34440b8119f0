"""Differencing against a plain model (Hypothesis): whatever is done to a file, old chunks and new data are the new file, and what is
sent is bounded by what changed. A failing example is printed with the edits that made it."""

import os
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_pc.afm import plain
from firmware.formats import fileobject, limits
from tests.agent.test_difference import Held

_CHUNK = limits.chunk_size(1 << 20)
_EDIT_CHUNKS = 5  # a move breaks so many: one where it goes, two it came out of, and those at its own ends
_LARGEST = 600_000

_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)

_PLACE = st.integers(0, _LARGEST)
_LENGTH = st.one_of(
    st.integers(0, 64), st.integers(0, 3 * _CHUNK), st.sampled_from([_CHUNK - 1, _CHUNK, _CHUNK + 1, 40 * _CHUNK])
)
_EDIT = st.tuples(
    st.sampled_from(["insert", "delete", "overwrite", "move", "copy", "truncate", "append", "zeros"]), _PLACE, _LENGTH, _PLACE
)


@pytest.fixture(autouse=True)
def no_wait_for_the_clock(monkeypatch):
    """Nobody writes to these files: two versions may have times within one kernel tick."""
    monkeypatch.setattr(plain, "TICK_NS", 0)


class _Model:
    """A file's contents, and for each byte whether it is new since the last version: a copy of new data is new, too."""

    def __init__(self, source: random.Random, size: int):
        self._source = source
        self.data = source.randbytes(size)
        self._new = bytes(size)

    def kept(self) -> None:
        """This is the last version now."""
        self._new = bytes(len(self.data))

    def changed(self) -> int:
        """Bytes that are new."""
        return sum(self._new)

    def edit(self, what: str, at: int, length: int, to: int) -> None:
        fresh = bytes(length) if what == "zeros" else self._source.randbytes(length)
        self.data = _edited(self.data, what, at, length, to, fresh)
        self._new = _edited(self._new, what, at, length, to, b"\1" * length)


def _edited(data: bytes, what: str, at: int, length: int, to: int, fresh: bytes) -> bytes:
    at = min(at, len(data))
    taken, rest = data[at : at + length], data[:at] + data[at + length :]
    to = min(to, len(rest))
    return {
        "insert": lambda: data[:at] + fresh + data[at:],
        "zeros": lambda: data[:at] + fresh + data[at:],
        "append": lambda: data + fresh,
        "delete": lambda: rest,
        "truncate": lambda: data[:at],
        "overwrite": lambda: data[:at] + fresh + data[at + length :],
        "move": lambda: rest[:to] + taken + rest[to:],
        "copy": lambda: data[:to] + taken + data[to:],
    }[what]()


def _take(held: Held, folder, data: bytes, old):
    path = folder / "f"
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    return held.take(os.fsencode(path), old)


def _is_file(held: Held, made, outcome, data: bytes) -> None:
    assert held.contents(made) == data
    assert outcome.size == len(data)


@_SETTINGS
@given(st.integers(0, 1 << 32), st.integers(40_000, _LARGEST), st.lists(_EDIT, min_size=1, max_size=5))
@example(1, 300_000, [("insert", 0, 10, 0)])
@example(1, 300_000, [("move", 0, 100_000, 200_000)])
@example(1, 300_000, [("truncate", 0, 0, 0), ("append", 0, 1, 0)])
def test_one_difference(tmp_path_factory, seed, size, edits):
    folder = tmp_path_factory.mktemp("one")
    held, model = Held(), _Model(random.Random(seed), size)
    old, _, _ = _take(held, folder, model.data, None)
    for edit in edits:
        model.edit(*edit)
    made, fresh, outcome = _take(held, folder, model.data, old)
    _is_file(held, made, outcome, model.data)
    assert fresh <= len(model.data)
    if old.worth(len(model.data)):
        assert fresh <= model.changed() + _EDIT_CHUNKS * _CHUNK * len(edits), edits


@_SETTINGS
@given(st.integers(0, 1 << 32), st.integers(100_000, _LARGEST), st.lists(_EDIT, min_size=2, max_size=6))
def test_differences_of_differences(tmp_path_factory, seed, size, edits):
    """Odd chunks pile up: each version is still right, and what one edit costs does not grow with the number of versions before it."""
    folder = tmp_path_factory.mktemp("many")
    held, model = Held(), _Model(random.Random(seed), size)
    old, _, _ = _take(held, folder, model.data, None)
    for turn, edit in enumerate(edits):
        model.kept()
        model.edit(*edit)
        worth = old.worth(len(model.data))
        old, fresh, outcome = _take(held, folder, model.data, old)
        _is_file(held, old, outcome, model.data)
        if worth:
            assert fresh <= model.changed() + _EDIT_CHUNKS * _CHUNK * (turn + 1), (turn, edits)


_EXTENTS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=6)  # (from, length) in blocks of 64 KiB
_BLOCK = 1 << 16


def _sparse(folder, extents: list, size: int, source: random.Random, kept: dict) -> bytes:
    """Writes a file with data in these extents and holes between; `kept` remembers what each block holds."""
    path = folder / "s"
    with open(path, "wb") as file:
        file.truncate(size)
        for first, count in extents:
            for block in range(first, first + count):
                if block * _BLOCK < size:
                    data = kept.setdefault(block, source.randbytes(_BLOCK))
                    file.seek(block * _BLOCK)
                    file.write(data[: size - block * _BLOCK])
    os.utime(path, ns=(1, 1))
    return path.read_bytes()


@_SETTINGS
@given(st.integers(0, 1 << 32), _EXTENTS, _EXTENTS, st.integers(0, 46 * _BLOCK), st.integers(0, 46 * _BLOCK))
@example(0, [], [(0, 1)], 0, _BLOCK)
@example(0, [(0, 2), (40, 1)], [(0, 2), (20, 2)], 46 * _BLOCK, 46 * _BLOCK)
def test_sparse_files(tmp_path_factory, seed, before, after, size, later_size):
    """Holes come and go between versions; a block that is data in both is not sent twice."""
    source = random.Random(seed)
    folder = tmp_path_factory.mktemp("sparse")
    held, kept = Held(), {}
    data = _sparse(folder, before, size, source, kept)
    old, _, outcome = held.take(os.fsencode(folder / "s"), None)
    _is_file(held, old, outcome, data)
    known = set(kept)
    data = _sparse(folder, after, later_size, source, kept)
    new, fresh, outcome = held.take(os.fsencode(folder / "s"), old)
    _is_file(held, new, outcome, data)
    if _knows_holes(folder):
        assert fresh <= sum([count for _, count in after]) * _BLOCK
    if old.worth(later_size) and _knows_holes(folder):
        edges = 2 * (len(before) + len(after) + 2)
        assert fresh <= len(set(kept) - known) * _BLOCK + edges * _CHUNK + (_BLOCK if known else 0)


def _knows_holes(folder) -> bool:
    path = folder / "hole"
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    return os.stat(path).st_blocks == 0


def test_holes_are_held_as_runs(tmp_path):
    data = _sparse(tmp_path, [(0, 1), (30, 1)], 46 * _BLOCK, random.Random(1), {})
    held = Held()
    old, fresh, _ = held.take(os.fsencode(tmp_path / "s"), None)
    holes = [fileobject.hole_bytes(run) for run in old.file.runs if run[0] == fileobject.HOLE_GROUP]
    assert held.contents(old) == data
    assert not _knows_holes(tmp_path) or (fresh == 2 * _BLOCK and sum(holes) == 44 * _BLOCK)
