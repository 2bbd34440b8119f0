"""Differencing against a plain model (Hypothesis): whatever is done to a file, old chunks and new data are the new file, and what is
sent is bounded by what changed. A failing example is printed with the edits that made it."""

import os
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_pc.bdm import reader
from firmware.formats import fileobject, limits
from tests.agent.test_difference import Held

_CHUNK = limits.chunk_size(1 << 20)
_EDIT_CHUNKS = 5  # a move breaks so many: one where it goes, two it came out of, and those at its own ends
_LARGEST = 600_000

_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)

_PLACE = st.integers(0, _LARGEST)
_LENGTH = st.one_of(st.integers(0, 64), st.integers(0, 3 * _CHUNK), st.sampled_from([_CHUNK - 1, _CHUNK, _CHUNK + 1, 40 * _CHUNK]))
_EDIT = st.tuples(
    st.sampled_from(["insert", "delete", "overwrite", "move", "copy", "truncate", "append", "zeros"]), _PLACE, _LENGTH, _PLACE
)


@pytest.fixture(autouse=True)
def no_wait_for_the_clock(monkeypatch):
    """Nobody writes to these files: two versions may have times within one kernel tick."""
    monkeypatch.setattr(reader, "_TICK_NS", 0)


def _edited(data: bytes, edit: tuple, source: random.Random) -> tuple:
    """(new contents, bytes that are new in them)."""
    what, at, length, to = edit
    at = min(at, len(data))
    length = min(length, len(data) - at) if what in ("delete", "move", "copy", "overwrite") else length
    taken, new = data[at : at + length], source.randbytes(length)
    rest = data[:at] + data[at + length :]
    to = min(to, len(rest))
    return {
        "insert": lambda: (data[:at] + new + data[at:], length),
        "append": lambda: (data + new, length),
        "zeros": lambda: (data[:at] + bytes(length) + data[at:], length),
        "delete": lambda: (rest, 0),
        "truncate": lambda: (data[:at], 0),
        "overwrite": lambda: (data[:at] + new + data[at + length :], length),
        "move": lambda: (rest[:to] + taken + rest[to:], 0),
        "copy": lambda: (data[:to] + taken + data[to:], 0),
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
    source = random.Random(seed)
    folder = tmp_path_factory.mktemp("one")
    held = Held()
    data = source.randbytes(size)
    old, _, _ = _take(held, folder, data, None)
    changed = 0
    for edit in edits:
        data, new = _edited(data, edit, source)
        changed += new
    made, fresh, outcome = _take(held, folder, data, old)
    _is_file(held, made, outcome, data)
    assert fresh <= len(data)
    if old.worth(len(data)):
        assert fresh <= changed + _EDIT_CHUNKS * _CHUNK * len(edits), edits


@_SETTINGS
@given(st.integers(0, 1 << 32), st.integers(100_000, _LARGEST), st.lists(_EDIT, min_size=2, max_size=6))
def test_differences_of_differences(tmp_path_factory, seed, size, edits):
    """Odd chunks pile up: each version is still right, and what one edit costs does not grow with the number of versions before it."""
    source = random.Random(seed)
    folder = tmp_path_factory.mktemp("many")
    held = Held()
    data = source.randbytes(size)
    old, _, _ = _take(held, folder, data, None)
    for turn, edit in enumerate(edits):
        data, changed = _edited(data, edit, source)
        worth = old.worth(len(data))
        old, fresh, outcome = _take(held, folder, data, old)
        _is_file(held, old, outcome, data)
        if worth:
            assert fresh <= changed + _EDIT_CHUNKS * _CHUNK * (turn + 1), (turn, edits)


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
