"""Partial redundancy: a new file that resembles one that was sent before is sent as the difference (agent_pc/bdm/likeness.py)."""

import itertools
import os
import random
import shutil

import pytest

from agent_pc.bdm import librsync, likeness
from agent_pc.bdm import prints as sets
from tests.agent.rig import snapshot, told

_BYTES = 3_000_000
_RNG = random.Random(7)
_OLD = _RNG.randbytes(_BYTES)
_EDITS = {
    "edited in place": _OLD[:100_000] + b"other words" + _OLD[100_011:],
    "bytes in front": b"0123456789" + _OLD,
    "begun anew after a megabyte": _RNG.randbytes(50_000) + _OLD[1_000_000:],
    "cut in the middle": _OLD[:1_200_000] + _OLD[1_700_003:],
    "appended": _OLD + b"one more line\n" * 100,
    "its second half": _OLD[_BYTES // 2 :],
}


_numbers = itertools.count()


@pytest.fixture
def agent(appliance, tmp_path):
    return appliance.agent(f"pc{next(_numbers)}", tmp_path)


@pytest.fixture
def source(tmp_path, agent, capsys):
    """A folder that was backed up: two large files, of which one is of no use."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "report").write_bytes(_OLD)
    (folder / "film").write_bytes(random.Random(8).randbytes(2_000_000))
    assert told(capsys, agent, "backup", folder)[0] == 0
    return folder


@pytest.mark.parametrize("edit", _EDITS)
def test_a_copy_that_was_edited_is_sent_as_the_difference(agent, source, tmp_path, capsys, edit):
    (source / "another name").write_bytes(_EDITS[edit])
    status, told_ = told(capsys, agent, "backup", source)
    assert status == 0 and told_["new"] == 1 and told_["unchanged"] == 2
    fresh = 50_000 if "anew" in edit else 0
    assert told_["chunk_bytes"] <= fresh + 3 * 8192 and told_["bytes_sent"] <= fresh + 40_000
    assert agent.run("restore", source, "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{source}") == snapshot(source)


def test_a_copy_under_another_name_and_time_is_a_reference(agent, source, tmp_path, capsys):
    shutil.copyfile(source / "report", source / "copy")
    status, told_ = told(capsys, agent, "backup", source)
    assert status == 0 and told_["redundant"] == 1 and told_["chunks"] == 0 and told_["bytes_sent"] < 5000
    assert agent.run("restore", source, "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{source}") == snapshot(source)


def test_the_old_file_stays_good_for_differences(agent, source, capsys):
    """A likeness does not use it up, as a newer version of the same file does."""
    for number in range(3):
        (source / f"copy {number}").write_bytes(b"%d" % number + _OLD)
        assert told(capsys, agent, "backup", source)[1]["chunk_bytes"] < 20_000
    (source / "report").write_bytes(_OLD[:-5])
    assert told(capsys, agent, "backup", source)[1]["chunk_bytes"] < 20_000


def test_what_is_not_held_any_more_is_not_referred_to(appliance, agent, source, capsys):
    """The old file was deleted, its views too: the cache still knows it, the appliance does not."""
    held = appliance.usage()["live_bytes"]
    (source / "report").rename(source.parent / "elsewhere")
    assert told(capsys, agent, "backup", source)[0] == 0
    with agent.session() as session:
        views = session.views()[1]
    appliance.ask(f"delete {os.path.basename(agent.directory)} {views[0].view}")
    appliance.ask("collect")
    assert appliance.usage()["live_bytes"] < held - _BYTES // 2
    (source / "new").write_bytes(_EDITS["bytes in front"])
    status, told_ = told(capsys, agent, "backup", source)
    assert status == 0 and told_["new"] == 1 and told_["chunk_bytes"] == _BYTES + 10


def test_nothing_is_looked_for_in_a_first_backup(agent, tmp_path, capsys, monkeypatch):
    """Without an earlier view the pass over new files would be for nothing."""
    monkeypatch.setattr(librsync, "Delta", None)
    folder = tmp_path / "first"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(os.urandom(1_000_000))
    assert told(capsys, agent, "backup", folder)[0] == 0


def test_samples_are_few_and_say_something():
    rows = [(8192, at, at.to_bytes(8, "little")) for at in range(1000)]
    found = likeness.samples(sets.pack(rows), 8192)
    assert len(found) == 16 and min(row[0] for row in found) == 0 and max(row[0] for row in found) > 990
    assert likeness.samples(sets.pack(rows[:15]), 8192) == []
    empty = sets.unpack(librsync.sums(bytes(8192), 8192).prints()) * 100
    assert likeness.samples(sets.pack(empty), 8192) == []
