"""Real databases that are written to while they are backed up: restored, checked by their own tools, and by an invariant of the transactions."""

import glob
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from agent_pc.afm.options import Options as Files
from agent_pc.backup import Options, backup
from agent_pc.cache import Cache
from tests.agent.rig import told
from tests.fda.volume import Volume

# Each transaction adds a row to both tables, and moves money from one account to another: the sum stays.
_SQLITE_WRITER = """
import random, sqlite3, sys, time
path, mode, burst_s, pause_s = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA journal_mode=" + mode)
db.execute("PRAGMA wal_autocheckpoint=200")
db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER)")
db.execute("CREATE TABLE one (id INTEGER PRIMARY KEY, text TEXT)")
db.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, text TEXT)")
db.execute("BEGIN")
db.executemany("INSERT INTO account VALUES (?, 100)", [(number,) for number in range(1000)])
db.execute("COMMIT")
print("ready", flush=True)
pause = time.monotonic() + burst_s
while True:
    db.execute("BEGIN IMMEDIATE")
    source, target = random.sample(range(1000), 2)
    db.execute("UPDATE account SET money = money - 7 WHERE id = ?", (source,))
    db.execute("INSERT INTO one (text) VALUES (?)", ("x" * random.randrange(2000),))
    db.execute("UPDATE account SET money = money + 7 WHERE id = ?", (target,))
    db.execute("INSERT INTO other (text) VALUES ('y')")
    db.execute("COMMIT")
    time.sleep(0.002)
    if pause_s and time.monotonic() > pause:
        time.sleep(pause_s)
        pause = time.monotonic() + burst_s
"""


class _Writer:
    """A process that writes to a database until the end of the `with`."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SQLITE_WRITER, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self):
        time.sleep(0.5)
        return self

    def __exit__(self, *_) -> None:
        assert self._process.poll() is None, "the writer has died"
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def public():
    """A folder that an unprivileged server may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="bobbin-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def xfs(public):
    made = Volume("xfs", public, 640)
    yield made.path
    made.close()


def _backed_up(agent, folder, files: Files):
    with agent.session() as session:
        return backup(session, [str(folder)], Cache(None), Options(afm=files))


def _labels(agent, folder, capsys) -> dict:
    _, listed = told(capsys, agent, "ls", folder)
    return {row["name"]: row["label"] for row in listed["entries"] if row["type"] == "file"}


def _check_sqlite(path: str) -> int:
    """Rows, of a database that is whole."""
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT sum(money) FROM account").fetchone() == (100_000,)
        [[one]], [[other]] = (
            db.execute("SELECT count(*) FROM one").fetchall(),
            db.execute("SELECT count(*) FROM other").fetchall(),
        )
        assert one == other
        return one
    finally:
        db.close()


@pytest.mark.parametrize("mode", ("wal", "delete"))
def test_sqlite_under_constant_load_on_a_filesystem_with_clones(appliance, xfs, tmp_path, capsys, mode):
    """It never rests: the clones are of one moment all the same."""
    folder = xfs / mode
    folder.mkdir()
    agent = appliance.agent("load-" + mode, tmp_path)
    with _Writer(folder / "shop.db", mode, 1, 0):
        result = _backed_up(agent, folder, Files(write_free_s=1, give_up_s=2))
    assert not result.problems and any("taken as of one moment" in text for _, text in result.notices)
    assert _labels(agent, folder, capsys)["shop.db"] == "snapshot"
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert _check_sqlite(f"{tmp_path}/out{folder}/shop.db") > 0


@pytest.mark.parametrize("mode", ("wal", "delete"))
def test_sqlite_that_rests_now_and_then_without_clones(appliance, tmp_path, capsys, mode):
    folder = tmp_path / "db"
    folder.mkdir()
    agent = appliance.agent("pause-" + mode, tmp_path)
    with _Writer(folder / "shop.db", mode, 1, 2):
        result = _backed_up(agent, folder, Files(write_free_s=0.7, give_up_s=30, clone=False))
    assert not result.problems and not result.notices
    assert set(_labels(agent, folder, capsys).values()) == {"quiesced"}
    assert agent.run("restore", folder, "--to", tmp_path / "out") == 0
    assert _check_sqlite(f"{tmp_path}/out{folder}/shop.db") > 0


def test_sqlite_under_constant_load_without_clones_is_labelled(appliance, tmp_path, capsys):
    folder = tmp_path / "db"
    folder.mkdir()
    agent = appliance.agent("unguarded", tmp_path)
    with _Writer(folder / "shop.db", "wal", 1, 0):
        result = _backed_up(agent, folder, Files(write_free_s=1, give_up_s=2, clone=False))
    assert any("SQLite group: no 1 s without a write within 2 s" in text for _, text in result.problems)
    assert _labels(agent, folder, capsys)["shop.db"] == "unguarded"


# -- PostgreSQL

_DEBIAN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
_BIN = _DEBIAN[-1] if _DEBIAN else os.path.dirname(shutil.which("postgres") or "")
_NOBODY = 65534
_SETUP = """
CREATE TABLE account (id int PRIMARY KEY, money int);
INSERT INTO account SELECT n, 100 FROM generate_series(1, 5000) n;
CREATE TABLE history (id serial PRIMARY KEY, source int, target int, filler text);
CREATE INDEX ON history (source);
"""
_TURN = """\\set source random(1, 5000)
\\set target random(1, 5000)
BEGIN;
UPDATE account SET money = money - 7 WHERE id = least(:source, :target);
UPDATE account SET money = money + 7 WHERE id = greatest(:source, :target);
INSERT INTO history (source, target, filler) VALUES (:source, :target, repeat('x', 300));
COMMIT;
"""


class _Server:
    """PostgreSQL over a data directory, as an unprivileged user, on a socket in `folder` alone."""

    def __init__(self, data, folder):
        self.data = data
        self._folder = folder
        self._process = None

    def run(self, name: str, *words: str) -> str:
        done = subprocess.run(self._command(name, *words), capture_output=True, text=True, cwd="/", timeout=120)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        return done.stdout.strip()

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self._folder} -c fsync=off -c logging_collector=off"
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def sql(self, text: str, base: str = "shop") -> str:
        return self.run("psql", "-h", str(self._folder), "-U", "bobbin", "-d", base, "-v", "ON_ERROR_STOP=1", "-Atc", text)

    def load(self) -> subprocess.Popen:
        script = self._folder / "turn.sql"
        script.write_text(_TURN)
        words = ("-h", str(self._folder), "-U", "bobbin", "-n", "-f", str(script), "-c", "2", "-T", "300", "shop")
        return subprocess.Popen(self._command("pgbench", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def _command(self, name: str, *words: str) -> list:
        return [*_unprivileged(), os.path.join(_BIN, name), *words]


def _unprivileged() -> list:
    if os.geteuid():
        return []
    return ["setpriv", "--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"]


@pytest.fixture
def server(xfs, public):
    if not _BIN or not os.path.exists(os.path.join(_BIN, "pgbench")):
        pytest.skip("no PostgreSQL on this machine")
    folder = public / "socket"
    folder.mkdir()
    data = xfs / "data"
    data.mkdir(mode=0o700)
    for path in (folder, data):
        os.chown(path, _NOBODY, _NOBODY)
    made = _Server(data, folder)
    made.run("initdb", "-D", str(data), "-U", "bobbin", "-A", "trust", "--no-sync")
    made.start()
    made.sql("CREATE DATABASE shop", "postgres")
    made.sql(_SETUP)
    yield made
    made.stop("immediate")


def test_postgresql_under_constant_load(appliance, server, public, tmp_path, capsys):
    agent = appliance.agent("postgresql", tmp_path)
    bench = server.load()
    try:
        time.sleep(2)
        result = _backed_up(agent, server.data, Files(write_free_s=1, give_up_s=2))
        assert bench.poll() is None
    finally:
        bench.kill()
        bench.wait()
    assert not result.problems and any("PostgreSQL group" in text and "one moment" in text for _, text in result.notices)
    assert _labels(agent, server.data, capsys)["PG_VERSION"] == "snapshot"
    assert agent.run("restore", server.data, "--to", public / "out") == 0
    socket = public / "again"
    socket.mkdir()
    os.chown(socket, _NOBODY, _NOBODY)
    again = _Server(f"{public}/out{server.data}", socket)
    os.unlink(f"{again.data}/postmaster.pid")
    again.start()
    try:
        assert again.sql("SELECT sum(money) FROM account") == "500000"
        count = int(again.sql("SELECT count(*) FROM history"))
        assert count > 100 and int(again.sql("SELECT count(DISTINCT id) FROM history")) == count
        again.sql("CREATE EXTENSION amcheck")
        again.sql("SELECT bt_index_check(oid, true) FROM pg_class WHERE relkind = 'i' AND relam = 403")
        assert (
            again.sql("SELECT count(*) FROM pg_class c, verify_heapam(c.oid) WHERE c.relname IN ('account', 'history')") == "0"
        )
    finally:
        again.stop("immediate")
