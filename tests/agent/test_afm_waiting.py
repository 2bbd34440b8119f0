"""The rules of files in use on a simulated clock: when a file, or a group of files, is safe, and what happens when it never is."""

import os

import pytest

from agent_pc.afm import kinds
from agent_pc.afm.guard import Frozen, Guard
from agent_pc.afm.options import Options
from agent_pc.afm.plain import open_regular
from agent_pc.afm.sources import Sources
from agent_pc.afm.waiting import Settle, Waiting
from agent_pc.fdm import nodes
from agent_pc.fdm.counts import Counts
from agent_pc.fdm.scan import Scan
from agent_pc.fdm.task import Directory, Link, Task
from firmware.formats import dtf

_START_NS = 1_700_000_000 * 10**9


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        return _START_NS + int(self.now_s * 1e9)


class Copies(Guard):
    """Freezes by copying; counts."""

    def __init__(self, folder):
        self.folder = folder
        self.taken: list = []
        self.before = lambda path: None

    def open(self, path: bytes) -> Frozen | None:
        self.before(path)
        handle, status = open_regular(path)
        copy = os.open(os.path.join(self.folder, str(len(self.taken))), os.O_RDWR | os.O_CREAT)
        os.write(copy, os.pread(handle, status.st_size, 0))
        os.close(handle)
        self.taken.append(os.path.basename(path))
        return Frozen(copy, status)


class Rig:
    """A tree, its scan, and the waiting list; `step` lets seconds pass; readers are simulated by `read`."""

    def __init__(self, folder, options: Options | None = None, guards=()):
        self.folder = folder
        self.clock = Clock()
        self.counts = Counts()
        self.passed: list = []
        self.problems: list = []
        self.notices: list = []
        self.writers: dict = {}
        self.waiting = Waiting(
            options or Options(),
            Sources(options, list(guards)),
            lambda path, text: self.problems.append((os.path.basename(path), text)),
            lambda path, text: self.notices.append((os.path.basename(path), text)),
            self.clock,
        )

    def write(self, name: str, age_s: float = 0.0, data: bytes = b"x") -> None:
        """As if written `age_s` ago."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        with open(path, "ab") as file:
            file.write(data)
        ns = self.clock.time_ns() - int(age_s * 1e9)
        while path != self.folder:
            os.utime(path, ns=(ns, ns))
            path = path.parent

    def scan(self, complete: bool = True) -> None:
        tree = nodes.Tree(lambda refs: iter(()))
        scan = Scan(tree, self._event, self.counts, lambda *row: self.problems.append(row), late=self.waiting)
        scan.run([os.fsencode(self.folder)], {})
        if complete:
            self.waiting.complete()
        self.poll()

    def _event(self, event) -> None:
        if not self.waiting.holds(event):
            self.passed.append(event)

    def poll(self) -> None:
        self.waiting.poll()
        for event in self.waiting.take():
            self.passed.append(event)
            if isinstance(event, Task) and event.slot is None:
                self._read(event)
            elif isinstance(event, Settle):
                event.ok()

    def _read(self, task: Task) -> None:
        label = dtf.SNAPSHOT if task.frozen else dtf.QUIESCED
        task.finish((1, 1), os.lstat(task.path), task.status.st_size, 0, label)

    def step(self, seconds: float) -> None:
        """In steps of half a second; who writes every so often does."""
        for _ in range(int(seconds * 2)):
            self.clock.now_s += 0.5
            for name, every_s in self.writers.items():
                if self.clock.now_s % every_s == 0:
                    self.write(name)
            self.poll()
            self.poll()  # what was settled

    def names(self) -> list:
        return [os.path.basename(event.path).decode() for event in self.passed if isinstance(event, Task)]

    def labels(self) -> dict:
        return {
            os.path.basename(event.path).decode(): nodes.HEAD.unpack_from(event.slot[2])[2]
            for event in self.passed
            if isinstance(event, Task) and event.slot
        }

    def listed(self) -> dict:
        """Names by directory, of those that were finished."""
        self.passed += self.waiting.rest()
        made: dict = {}
        for event in self.passed:
            if isinstance(event, Directory):
                assert event.path not in made, "a directory comes once"
                made[event.path] = [row[0] if type(row) is tuple else row.name for row in event.rows]
                assert all(type(row) is tuple or row in self.passed for row in event.rows), "a directory before what it lists"
        return made


@pytest.fixture
def rig(tmp_path):
    (tmp_path / "tree").mkdir()
    return Rig(tmp_path / "tree")


def test_old_files_pass_at_once_and_recent_ones_after_five_seconds(rig):
    rig.write("old", 5.0)
    rig.write("new", 0.0)
    rig.write("newer", 1.5)
    rig.scan()
    assert rig.names() == ["old"] and rig.waiting.busy()
    rig.step(3.0)
    assert rig.names() == ["old"]
    rig.step(0.5)
    assert rig.names() == ["old", "newer"]
    rig.step(1.5)
    assert rig.names() == ["old", "newer", "new"] and not rig.waiting.busy()
    assert rig.listed()[os.fsencode(rig.folder)] == [b"new", b"newer", b"old"] and not rig.problems


def test_old_files_are_not_even_looked_at(rig, monkeypatch):
    for number in range(100):
        rig.write(f"f{number}", 5.0)
    looked = []
    monkeypatch.setattr(rig.waiting, "_safe", lambda status: looked.append(status) or True)
    rig.clock.now_s += 0.1
    rig.waiting._safe_before_ns += 10**8
    rig.scan()
    assert len(rig.names()) == 100 and not looked and rig.waiting._count == 0


def test_each_write_starts_the_period_again(rig):
    rig.write("log")
    rig.writers = {"log": 4.0}
    rig.scan()
    rig.step(20)
    assert rig.names() == []
    rig.writers = {}
    rig.step(4.5)
    assert rig.names() == []
    rig.step(0.5)
    assert rig.names() == ["log"] and not rig.problems and not rig.notices


def test_gives_up_after_sixty_seconds_and_says_so(rig):
    rig.write("log")
    rig.writers = {"log": 2.0}
    rig.scan()
    rig.step(59.5)
    assert rig.names() == []
    rig.step(0.5)
    assert rig.names() == ["log"]
    assert rig.notices == [(b"log", "file: no 5 s without a write within 60 s; read while it is in use")]


def test_with_a_guard_it_gives_up_with_the_file_as_of_one_moment(tmp_path):
    (tmp_path / "tree").mkdir()
    rig = Rig(tmp_path / "tree", guards=[Copies(tmp_path)])
    rig.write("log")
    rig.writers = {"log": 2.0}
    rig.scan()
    rig.step(60)
    assert rig.labels() == {"log": dtf.SNAPSHOT} and "as of one moment" in rig.notices[0][1]


def test_a_file_deleted_while_it_waits_is_just_not_there(rig):
    rig.write("temporary")
    rig.scan()
    os.unlink(rig.folder / "temporary")
    rig.step(6)
    [task] = [event for event in rig.passed if isinstance(event, Task)]
    assert task.slot == () and not rig.problems and not rig.notices


def test_a_clock_that_was_wrong(rig):
    """A time ahead of now says nothing: then the change time counts, and that lies far in the future of this clock."""
    rig.write("from tomorrow", -86400)
    rig.scan()
    assert rig.names() == []
    rig.step(60)
    assert rig.names() == ["from tomorrow"]


def test_links_and_directories_come_after_what_they_name(rig):
    rig.write("a/b/file")
    os.link(rig.folder / "a/b/file", rig.folder / "a/link")
    rig.write("c/old", 10)
    rig.scan()
    assert [os.path.basename(event.path) for event in rig.passed if isinstance(event, Directory)] == [b"c"]
    rig.step(5)
    kinds_ = [type(event) for event in rig.passed]
    assert kinds_.index(Link) > max(at for at, kind in enumerate(kinds_) if kind is Settle)
    listed = rig.listed()
    assert listed[os.fsencode(rig.folder)] == [b"a", b"c"] and listed[os.fsencode(rig.folder / "a")] == [b"b", b"link"]


def test_a_file_written_while_it_is_read_waits_again(rig, monkeypatch):
    rig.write("file")
    rig.scan()
    real, turns = rig._read, []

    def read(task):
        real(task)
        turns.append(task)
        if len(turns) == 1:
            rig.clock.now_s += 0.1
            rig.write("file")

    monkeypatch.setattr(rig, "_read", read)
    rig.step(5)
    assert len(turns) == 1 and rig.waiting.busy()
    rig.step(5.5)
    assert len(turns) == 2 and not rig.waiting.busy() and not rig.problems


def _database(rig, *ages) -> None:
    for name, age in zip(("db", "db-wal"), ages, strict=True):
        rig.write(name, age, b"SQLite format 3\0" if name == "db" else b"log")


def test_all_members_must_be_safe_at_the_same_moment(rig):
    _database(rig, 4.0, 1.0)
    rig.scan()
    rig.step(3.5)
    assert rig.names() == []
    rig.write("db")  # its turn would have been long ago
    rig.step(4.5)
    assert rig.names() == []
    rig.step(0.5)
    assert rig.names() == ["db", "db-wal"]
    assert rig.listed()[os.fsencode(rig.folder)] == [b"db", b"db-wal"] and rig.counts.files == 2


def test_a_member_that_appears_while_the_group_waits_is_taken(rig):
    _database(rig, 1.0, 1.0)
    rig.scan()
    rig.write("db-journal")
    rig.step(5)
    assert sorted(rig.names()) == ["db", "db-journal", "db-wal"] and rig.counts.files == 3
    assert rig.listed()[os.fsencode(rig.folder)] == [b"db", b"db-journal", b"db-wal"]


def test_a_group_that_was_written_to_while_it_was_frozen_is_frozen_again(tmp_path):
    (tmp_path / "tree").mkdir()
    copies = Copies(tmp_path)
    rig = Rig(tmp_path / "tree", guards=[copies])
    _database(rig, 9.0, 9.0)
    rig.clock.now_s += 1

    def write_once(path):
        if len(copies.taken) == 1:
            rig.write("db")

    copies.before = write_once
    rig.scan()
    assert rig.names() == [] and copies.taken == [b"db", b"db-wal"]
    rig.step(5)
    assert rig.names() == ["db", "db-wal"] and copies.taken == [b"db", b"db-wal"] * 2
    assert rig.labels() == {"db": dtf.SNAPSHOT, "db-wal": dtf.SNAPSHOT} and rig.counts.files == 2


def test_a_group_that_never_rests_without_a_guard_is_a_problem_and_labelled(rig):
    _database(rig, 0.0, 0.0)
    rig.writers = {"db-wal": 1.0}
    rig.scan()
    rig.step(60)
    assert rig.labels() == {"db": dtf.UNGUARDED, "db-wal": dtf.UNGUARDED}
    assert len(rig.problems) == 1 and "SQLite group: no 5 s without a write within 60 s" in rig.problems[0][1]


def test_a_log_that_never_rests_is_frozen_with_a_database_that_does(tmp_path):
    """The database's file must not change between the two clones; the log may, it is only added to."""
    (tmp_path / "tree").mkdir()
    copies = Copies(tmp_path)
    rig = Rig(tmp_path / "tree", guards=[copies])
    _database(rig, 10.0, 0.0)
    rig.writers = {"db-wal": 1.0}
    copies.before = lambda path: rig.write("db-wal")
    rig.scan()
    rig.step(60)
    assert rig.labels() == {"db": dtf.SNAPSHOT, "db-wal": dtf.SNAPSHOT} and not rig.problems
    assert copies.taken[-2:] == [b"db", b"db-wal"] and "as of one moment" in rig.notices[0][1]


def test_a_database_at_rest_costs_no_waiting(rig):
    _database(rig, 100, 100)
    rig.scan()
    assert rig.names() == ["db", "db-wal"]
    rig.step(0.5)
    assert not rig.waiting.busy()


def test_user_sets_span_directories(tmp_path):
    (tmp_path / "tree").mkdir()
    options = Options(groups={"shop": [f"{tmp_path}/tree/*/data", f"{tmp_path}/tree/index"]})
    rig = Rig(tmp_path / "tree", options)
    rig.write("a/data", 50)
    rig.write("a/other", 50)
    rig.write("index", 3)
    rig.scan(complete=False)
    rig.step(5)
    assert rig.names() == ["other"]  # a member may still come
    rig.write("index", 3)
    rig.waiting.complete()
    rig.step(1.5)
    assert rig.names() == ["other"]
    rig.step(0.5)
    assert sorted(rig.names()) == ["data", "index", "other"]
    listed = rig.listed()
    assert listed[os.fsencode(rig.folder / "a")] == [b"data", b"other"] and b"index" in listed[os.fsencode(rig.folder)]


def _server(rig, age_s: float) -> None:
    for name in ("PG_VERSION", "base/1/2601", "global/pg_control", "pg_wal/000000010000000000000001", "log/today"):
        rig.write("data/" + name, age_s)


def test_a_directory_of_a_database_server_is_one_group(rig):
    _server(rig, 30)
    rig.write("data/base/1/2601", 2)
    rig.write("data/log/today", 0)  # what the server tells the administrator is no data
    rig.write("beside", 10)
    rig.scan()
    assert rig.names() == ["beside"]
    rig.clock.now_s += 2.5
    rig.write("data/base/1/2602", 0)
    rig.poll()
    assert rig.names() == ["beside"]
    rig.step(5)
    assert len(rig.names()) == 7 and rig.names()[-1] == "000000010000000000000001"
    listed = rig.listed()
    assert listed[os.fsencode(rig.folder / "data/base/1")] == [b"2601", b"2602"]
    assert listed[os.fsencode(rig.folder)] == [b"beside", b"data"] and rig.counts.files == 7


@pytest.mark.parametrize(
    "names, wanted",
    (
        ((b"Shop.mdf", b"Shop_log.ldf", b"x.txt"), [("SQL Server", [b"Shop.mdf", b"Shop_log.ldf"])]),
        ((b"NTUSER.DAT", b"ntuser.dat.LOG1", b"ntuser.ini"), [("registry", [b"NTUSER.DAT", b"ntuser.dat.LOG1"])]),
        ((b"SYSTEM", b"SYSTEM.LOG1", b"SAM"), [("registry", [b"SYSTEM", b"SYSTEM.LOG1"])]),
        ((b"priv1.edb", b"priv1.stm", b"E00.chk", b"E0000001.log", b"setup.log"), [("Exchange", 4)]),
        ((b"a.accdb", b"a.laccdb", b"b.accdb"), [("Access", [b"a.accdb", b"a.laccdb"])]),
        ((b"control01.ctl", b"system01.dbf", b"redo01.log"), [("Oracle", 3)]),
        ((b"ibdata1", b"ib_logfile0", b"mysql"), [("MySQL", None)]),
        ((b"mail.pst", b"archive.pst"), []),
        ((b"roads.dbf", b"roads.shp"), []),
        ((b"note-wal", b"x-journal", b"other"), []),
    ),
)
def test_what_is_recognised_by_name(tmp_path, names, wanted):
    found = kinds.recognise(os.fsencode(tmp_path), list(names))
    told = [(row.kind.name, row.names) for row in found]
    assert [(kind, len(names) if isinstance(want, int) else names) for (kind, names), (_, want) in zip(told, wanted)] == wanted
    assert len(told) == len(wanted)


def test_sqlite_is_recognised_by_its_content(tmp_path):
    (tmp_path / "text").write_bytes(b"no database")
    (tmp_path / "db").write_bytes(b"SQLite format 3\0" + bytes(84))
    names = [b"db", b"db-wal", b"text", b"text-wal"]
    [found] = kinds.recognise(os.fsencode(tmp_path), names)
    assert found.kind.name == "SQLite" and found.names == [b"db", b"db-journal", b"db-wal"]
