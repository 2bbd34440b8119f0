"""Redundant file elimination from the agent's side: the second PC with the same files sends questions and references, nothing else."""

import os
import random

from tests.agent.rig import snapshot, told

_FILES = 1500  # three batches
_QUESTION_BYTES = 4 + 18  # a CRC and a proof
_NODE_BYTES = 60  # of an entry, compressed


def _fill(folder, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(_FILES):
        path = folder / f"d{number % 31}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice((1, 700, 4096, 4097, 9000, 33_000, 60_000))))
        os.utime(path, ns=(number, 1_600_000_000_000_000_000 + number))
    (folder / "mailbox").write_bytes(rng.randbytes(3_000_000))


def test_the_second_pc_sends_questions_and_references(appliance, tmp_path, capsys):
    """Also of a file that the first one sent as a difference: ten bytes in front have moved all its chunks."""
    source = tmp_path / "source"
    _fill(source, 1)
    one, two, three = (appliance.agent(name, tmp_path) for name in ("one", "two", "three"))
    assert told(capsys, one, "backup", source)[0] == 0
    mailbox = source / "mailbox"
    mailbox.write_bytes(b"0123456789" + mailbox.read_bytes())
    status, first = told(capsys, one, "backup", source)
    assert status == 0 and first["modified"] == 1 and first["chunk_bytes"] < 20_000
    for agent in (two, three):
        status, second = told(capsys, agent, "backup", source)
        assert status == 0 and second["redundant"] == _FILES + 1 and second["chunks"] <= 1, second  # of what is told of the PC
        assert second["bytes_sent"] < (_FILES + 1) * (_QUESTION_BYTES + _NODE_BYTES) + 20_000
        assert agent.run("restore", source, "--to", tmp_path / agent.directory[-3:]) == 0
        assert snapshot(f"{tmp_path}/{agent.directory[-3:]}{source}") == snapshot(source)


def test_equal_names_sizes_and_times_are_not_enough(appliance, tmp_path, capsys):
    """Every file of the second PC is nominated, and none is the one that is held."""
    folders = [tmp_path / name / "source" for name in ("here", "there")]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for name in range(40):
            (folder / f"{name}").write_bytes(random.Random(100 * number + name).randbytes(5000))
            os.utime(folder / f"{name}", ns=(1, 1))
    assert told(capsys, appliance.agent("here", tmp_path / "state"), "backup", folders[0])[0] == 0
    agent = appliance.agent("there", tmp_path / "state")
    status, second = told(capsys, agent, "backup", folders[1])
    assert status == 0 and second["new"] == 40 and second["redundant"] == 0
    assert agent.run("restore", folders[1], "--to", tmp_path / "out") == 0
    assert snapshot(f"{tmp_path}/out{folders[1]}") == snapshot(folders[1])
