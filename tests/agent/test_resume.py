"""A backup that is cut goes on where it was: nothing that arrived is sent, or read, a second time. Over real sockets."""

import itertools
import os
import random
import time

import pytest

from agent_pc import state
from agent_pc.backup import Options, backup
from agent_pc.bdm import contents
from agent_pc.bdm.sums import Sums
from agent_pc.cache import Cache
from agent_pc.dtm.arrived import Arrived
from agent_pc.exits import Cut
from agent_pc.fdm.task import Task
from agent_pc.restore import job
from agent_pc.session import Session
from firmware.formats import limits, message
from tests.agent.rig import snapshot
from tests.lab.cutter import Cutter

_LARGE = 6 << 20
_SMALL = 120
_OVERHEAD = 80_000  # of both connections: handshakes, AUTH, tables of packs (half a percent), file objects, nodes


@pytest.fixture
def cutter(appliance):
    made = Cutter(("127.0.0.1", appliance.port))
    yield made
    made.close()


def _connect(agent, cutter) -> Session:
    told = state.load(agent.directory)
    told.port = cutter.port
    return Session.open(told)


def _tree(folder):
    """Bytes that nobody holds and that do not compress: what is sent is what they are."""
    os.makedirs(folder / "small")
    for number in range(_SMALL):
        (folder / "small" / f"f{number}").write_bytes(os.urandom(20_000 + number))
    (folder / "large").write_bytes(os.urandom(_LARGE))
    (folder / "zoo").write_bytes(os.urandom(700_000))
    for path in (folder / "small", folder):
        for name in os.listdir(path):
            os.utime(path / name, ns=(0, random.randrange(1 << 60)))  # or a CRC would nominate another test's file
    time.sleep(0.05)  # its change times are certain
    return folder


class _Sessions:
    """Each connection of a backup, with the GRANT it got."""

    def __init__(self, agent, cutter, granted=lambda: None):
        self._agent, self._cutter, self._granted = agent, cutter, granted
        self.made: list = []
        self.grants: list = []

    def __call__(self) -> Session:
        session = _connect(self._agent, self._cutter)
        begin = session.begin

        def noted(*values):
            self.grants.append(begin(*values))
            self._granted()
            return self.grants[-1]

        session.begin = noted
        self.made.append(session)
        return session


def _whole(tree) -> int:
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(tree) for name in names)


def _run(agent, cutter, tree, granted=lambda: None) -> tuple:
    """(Result, _Sessions) of a backup; `granted()` is called at each GRANT."""
    sessions = _Sessions(agent, cutter, granted)
    result = backup(sessions(), [str(tree)], Cache(None), Options(wait_s=30), reconnect=sessions)
    for session in sessions.made:
        session.close()
    return result, sessions


@pytest.fixture
def read(monkeypatch):
    """[bytes read from files so far]."""
    count = [0]
    blocks = contents.blocks

    def counted(handle, offset, length):
        for block in blocks(handle, offset, length):
            count[0] += len(block)
            yield block

    monkeypatch.setattr(contents, "blocks", counted)
    return count


def _check(agent, result, tree, out) -> None:
    with agent.session() as session:
        assert session.views()[1][-1].view == result.view
        job.restore(session, [], result.view, os.fsencode(out))
    assert snapshot(f"{out}{tree}") == snapshot(tree)


@pytest.mark.parametrize("percent", [5, 30, 50, 70, 90, 99])
def test_the_second_connection_sends_the_rest(appliance, tmp_path, cutter, percent, read):
    agent = appliance.agent(f"resume{percent}", tmp_path)
    tree = _tree(tmp_path / "tree")
    whole = _whole(tree)
    cutter.cut(0, whole * percent // 100, gently=True)
    result, sessions = _run(agent, cutter, tree, lambda: read.append(read[0]))
    (first, _), (second, _) = cutter.passed
    rest = whole - first
    assert second <= rest + limits.PACK_AIM_BYTES + _OVERHEAD, (first, second, sessions.grants)
    assert read[0] - read[2] <= rest + 3 * limits.PACK_AIM_BYTES, "read again, and what the first one's readers had begun"
    assert result.counts.new == result.counts.files == _SMALL + 2 and not result.problems
    _check(agent, result, tree, tmp_path / "out")


def test_cut_again_and_again(appliance, tmp_path, cutter):
    """Each connection brings a tenth; all together send little more than once what there is."""
    agent = appliance.agent("resume-often", tmp_path)
    tree = _tree(tmp_path / "tree")
    whole = _whole(tree)

    def tenth():
        cutter.cut(0, whole // 10, gently=True)

    tenth()
    result, sessions = _run(agent, cutter, tree, tenth)
    count = len(cutter.passed)
    assert 10 <= count <= 13 and result.attempts == count, count
    assert sum([row[0] for row in cutter.passed]) <= whole + count * (limits.PACK_AIM_BYTES + _OVERHEAD)
    _check(agent, result, tree, tmp_path / "out")


@pytest.mark.parametrize("percent", [50, 75, 95], ids=["in the large file", "among the small ones", "in the last one"])
def test_files_that_change_between_the_connections(appliance, tmp_path, cutter, percent):
    """What arrived of them is not what they are now: complete ones, the one under way with its time set back, names that move."""
    agent = appliance.agent(f"resume-changed{percent}", tmp_path)
    tree = _tree(tmp_path / "tree")
    turns = []

    def change():
        turns.append(len(turns))
        if len(turns) != 2:
            return
        for name in ("large", "zoo"):
            status = os.stat(tree / name)
            with open(tree / name, "r+b") as file:
                file.write(os.urandom(100_000))
            os.utime(tree / name, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.rename(tree / "small" / "f3", tree / "small" / "other")
        (tree / "small" / "f5").write_bytes(b"shorter")
        (tree / "small" / "f7").unlink()

    cutter.cut(0, _whole(tree) * percent // 100, gently=True)
    result, _ = _run(agent, cutter, tree, change)
    assert result.attempts == len(turns) == 2
    _check(agent, result, tree, tmp_path / "out")


def test_an_agent_that_is_started_anew_finds_its_files(appliance, tmp_path, cutter):
    """It knows nothing of the connection before: files that are complete there cost a proof, what was under way is sent again."""
    agent = appliance.agent("resume-new", tmp_path)
    tree = _tree(tmp_path / "tree")
    (tree / "large").unlink()
    whole = _whole(tree)
    cutter.cut(0, whole * 80 // 100, gently=True)
    with pytest.raises(Cut):
        backup(_connect(agent, cutter), [str(tree)], Cache(None), Options(wait_s=30))
    result, _ = _run(agent, cutter, tree)
    assert result.view == 1 and not result.problems
    _check(agent, result, tree, tmp_path / "out")


def _noted(index: int, name: str, chunks: list, tmp_path, known: Arrived) -> Task:
    path = tmp_path / name
    path.write_bytes(b"x")
    task = Task(os.fsencode(path), os.fsencode(name), os.lstat(path), None, b"")
    known.opened(task)
    for first, count in chunks:
        known.numbered(first, Sums(8192, count, 8192, b"".join([b"%36d" % (first + at) for at in range(count)])))
    if index >= 0:
        known.filed(index, task, _Outcome(task.status), b"body of " + os.fsencode(name))
    return task


class _Outcome:
    def __init__(self, status):
        self.status, self.changed, self.entry_flags, self.label = status, "", 0, 2


def _grant(group: int, data: int, file: int, node: int):
    return message.RECORDS[message.GRANT].tuple(group, data, file, node, 0, 0)


def test_what_is_known_after_each_possible_grant(tmp_path):
    """Whatever arrived, nothing counts as arrived that did not."""
    for data, file, node in itertools.product(range(0, 26), range(0, 4), range(0, 3)):
        known = Arrived().resumed(_grant(7, 0, 0, 0))
        tasks = [_noted(at, f"f{at}", [(8 * at, 8)], tmp_path, known) for at in range(3)]
        last = _noted(-1, "open", [(24, 1), (25, 4)], tmp_path, known)
        known.noded(b"n" * 16)
        known.noded(b"m" * 16)
        again = known.resumed(_grant(7, data, file, node))
        complete = [at for at in range(3) if at >= file and 8 * at + 8 <= data]
        assert again.again == [b"body of f%d" % at for at in complete]
        for at, task in enumerate(tasks):
            expected = (7, at) if at < file else (7, file + complete.index(at)) if at in complete else None
            assert again.file(task) == (expected and (expected, 2)), (data, file, at)
        assert again.file(last) is None
        assert [again.node(digest * 16) for digest in (b"n", b"m")] == [0 if node > 0 else None, 1 if node > 1 else None]
        assert sum([sums.count for _, sums in again.begun(last)]) == (1 if data >= 25 else 0)
        assert known.resumed(_grant(8, data, file, node)).file(tasks[0]) is None, "another backup"
