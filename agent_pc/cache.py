"""The cached DTF of the last view, and fingerprint sets of large files: what the appliance holds, kept so as not to ask again.

SQLite in the state directory, one file for each client. It is only a cache: a lost or broken one is filled from the appliance.
Used by agent_pc/backup.py under one lock; a view's rows become visible together, when the view is committed.
"""

import os
import sqlite3
import threading

import zstandard

from agent_pc.exits import AgentError
from firmware.formats import pack

_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (grp INTEGER, idx INTEGER, listing BLOB, body BLOB, PRIMARY KEY (grp, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file (grp INTEGER, idx INTEGER, body BLOB, prints BLOB, PRIMARY KEY (grp, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample (grp INTEGER, idx INTEGER, chunk INTEGER, weak INTEGER, strong BLOB);
CREATE INDEX IF NOT EXISTS samples_of ON sample (grp, idx);
CREATE TABLE IF NOT EXISTS source (path BLOB PRIMARY KEY, view INTEGER) WITHOUT ROWID;
"""
_SAMPLES = 1 << 16  # of one chunk size that are looked for
_NEAR = 64
_NEAR_MOST = 4096
_SLACK = 3  # rows no longer used are kept until there are this many times the used ones


class Cache:
    """`path` None keeps it in memory."""

    def __init__(self, path: str | None):
        self._lock = threading.Lock()
        self._packer = zstandard.ZstdCompressor(level=1)
        self._opener = zstandard.ZstdDecompressor()
        self._used: set = set()
        self._near: dict = {}  # listings that are likely to be asked for next
        self._added = False  # nodes since the last look at how many there are
        try:
            self._db = self._open(path)
        except sqlite3.OperationalError as error:  # locked, full, not permitted: not broken
            raise AgentError("STATE", f"{path}: cannot open the cache: {error}") from None
        except sqlite3.DatabaseError:
            self._db = self._again(path or ":memory:")

    def _open(self, path: str | None) -> sqlite3.Connection:
        if path and not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        db = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=10)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            db.close()
            raise sqlite3.DatabaseError("other version")
        if not version:
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version={_VERSION}")
            db.commit()
        return db

    def _again(self, path: str) -> sqlite3.Connection:
        """A broken cache is thrown away."""
        try:
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(path + suffix):
                    os.unlink(path + suffix)
            return self._open(path)
        except (OSError, sqlite3.Error) as error:
            raise AgentError("STATE", f"{path}: cannot make the cache: {error}") from None

    def node(self, ref: tuple) -> bytes | None:
        """Bytes of node (group, index)."""
        with self._lock:
            self._used.add(ref)
            row = self._db.execute("SELECT body FROM node WHERE grp=? AND idx=?", ref).fetchone()
            return self._opener.decompress(row[0]) if row else None

    def add_node(self, ref: tuple, body: bytes) -> None:
        with self._lock:
            self._used.add(ref)
            self._added = True
            self._near.pop(ref, None)
            self._db.execute("INSERT OR REPLACE INTO node VALUES (?,?,NULL,?)", (*ref, self._packer.compress(body)))

    def listing(self, ref: tuple) -> bytes | None:
        """How the directory looked whose node is `ref` (fdm.known)."""
        with self._lock:
            self._used.add(ref)
            if ref not in self._near:
                self._approach(*ref)
            return self._near.pop(ref, None)

    def _approach(self, group: int, index: int) -> None:
        """Directories near each other have nodes near each other."""
        if len(self._near) > _NEAR_MOST:
            self._near.clear()
        bounds = (group, index - _NEAR, index + _NEAR)
        rows = self._db.execute("SELECT grp, idx, listing FROM node WHERE grp=? AND idx BETWEEN ? AND ?", bounds)
        self._near.update([((group, index), listing) for group, index, listing in rows])

    def add_listing(self, ref: tuple, body: bytes) -> None:
        """Only beside a node that is held."""
        with self._lock:
            self._near.pop(ref, None)
            self._db.execute("UPDATE node SET listing=? WHERE grp=? AND idx=?", (body, *ref))

    def use(self, refs) -> None:
        """Nodes that are needed, though nobody reads them."""
        with self._lock:
            self._used.update(refs)

    def file(self, ref: tuple) -> tuple | None:
        """(bytes of file object, packed fingerprint set) if they are held."""
        with self._lock:
            row = self._db.execute("SELECT body, prints FROM file WHERE grp=? AND idx=?", ref).fetchone()
        return row

    def add_file(self, ref: tuple, body: bytes, prints: bytes, chunk_bytes: int = 0, samples=()) -> None:
        """`prints`: packed (bdm.prints), in file order; `samples`: bdm.likeness."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO file VALUES (?,?,?,?)", (*ref, body, prints))
            self._db.executemany("INSERT INTO sample VALUES (?,?,?,?,?)", [(*ref, chunk_bytes, *row) for row in samples])

    def samples(self, chunk_bytes: int) -> list:
        """[(group, index, weak, strong8)] of files with chunks of this size, the newest ones."""
        query = "SELECT grp, idx, weak, strong FROM sample WHERE chunk=? ORDER BY rowid DESC LIMIT ?"
        with self._lock:
            return self._db.execute(query, (chunk_bytes, _SAMPLES)).fetchall()

    def drop_file(self, ref: tuple) -> None:
        """A newer version of the file has come."""
        with self._lock:
            self._db.execute("DELETE FROM file WHERE grp=? AND idx=?", ref)
            self._db.execute("DELETE FROM sample WHERE grp=? AND idx=?", ref)

    def view_of(self, path: bytes) -> int:
        """The newest view known to hold the source `path`, 0 if none."""
        with self._lock:
            row = self._db.execute("SELECT view FROM source WHERE path=?", (path,)).fetchone()
        return row[0] if row else 0

    def sources(self) -> list:
        """Directories that were backed up from this PC, ever."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT path FROM source ORDER BY path")]

    def commit(self, view: int, sources: list) -> None:
        """The view is durable on the appliance: keep what was added for it, drop what is not used any more."""
        with self._lock:
            self._db.executemany("INSERT OR REPLACE INTO source VALUES (?,?)", [(path, view) for path in sources])
            if self._added:
                self._prune()
            self._db.commit()

    def _prune(self) -> None:
        self._added = False
        (held,) = self._db.execute("SELECT count(*) FROM node").fetchone()
        if held > _SLACK * len(self._used) + 1000:
            rows = self._db.execute("SELECT grp, idx FROM node").fetchall()
            self._db.executemany("DELETE FROM node WHERE grp=? AND idx=?", [row for row in rows if row not in self._used])

    def rollback(self) -> None:
        with self._lock:
            self._used.clear()
            self._near.clear()
            self._db.rollback()

    def close(self) -> None:
        with self._lock:
            self._db.rollback()
            self._db.close()


class NodeSource:
    """Nodes from the cache, else from the appliance, which then are cached. `fetch` is what fdm.nodes.Tree wants."""

    def __init__(self, cache: Cache, items):
        """`items(kind, refs)`: Session.items."""
        self._cache = cache
        self._items = items

    def fetch(self, refs: list):
        held = [self._cache.node(ref) for ref in refs]
        missing = [ref for ref, body in zip(refs, held, strict=True) if body is None]
        came = iter(self._items(pack.NODES, missing)) if missing else iter(())
        for ref, body in zip(refs, held, strict=True):
            if body is None:
                body = next(came)
                if body is not None:
                    self._cache.add_node(ref, body)
            yield body
