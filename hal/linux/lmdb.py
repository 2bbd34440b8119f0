"""hal.kv on LMDB. Built by the boards for the catalog, and read-only for one that came back from tape.

Commits are synchronous (neither MDB_NOSYNC nor MDB_WRITEMAP): a commit lasts as long as the disk's flush. The map is as
large as the filesystem, so that it never has to grow under a long-lived reader.
"""

import os
import struct
from array import array

from hal.errors import BusError, CorruptData, NoSpace
from hal.kv import Kv, Txn
from hal.linux.libc import EINVAL, O_CLOEXEC, O_RDONLY, check, failure, libc
from hal.native import Library, address, copy_at

_lmdb = Library(
    ("liblmdb.so.0",),
    {
        "mdb_env_create": ("i", "p"),
        "mdb_env_set_mapsize": ("i", "pL"),
        "mdb_env_set_maxdbs": ("i", "pI"),
        "mdb_env_open": ("i", "psII"),
        "mdb_env_close": ("v", "p"),
        "mdb_env_info": ("i", "pp"),
        "mdb_env_stat": ("i", "pp"),
        "mdb_reader_check": ("i", "pp"),
        "mdb_txn_begin": ("i", "ppIp"),
        "mdb_txn_commit": ("i", "p"),
        "mdb_txn_abort": ("v", "p"),
        "mdb_dbi_open": ("i", "psIp"),
        "mdb_get": ("i", "pIpp"),
        "mdb_put": ("i", "pIppI"),
        "mdb_del": ("i", "pIpp"),
        "mdb_cursor_open": ("i", "pIp"),
        "mdb_cursor_close": ("v", "p"),
        "mdb_cursor_get": ("i", "pppi"),
    },
)

# lmdb.h
_RDONLY = 0x20000
_NOTLS = 0x200000
_CREATE = 0x40000
_DUPSORT_DUPFIXED = 0x14
_FIRST = 0
_LAST = 6
_GET_MULTIPLE = 5
_NEXT = 8
_PREV = 12
_SET = 15
_SET_RANGE = 17
_NOTFOUND = -30798
_BAD_VALSIZE = -30781
_ENV_INFO = "<QQQQII"
_ENV_STAT = "<IIQQQQ"

_MAX_KEY_BYTES = 511
_FALLBACK_MAP_BYTES = 16 << 30  # where the filesystem does not tell its size
_MAP_STEP_BYTES = 1 << 20

_ERRORS = {
    EINVAL: (RuntimeError, "the transaction is finished"),
    -30782: (RuntimeError, "the transaction failed before, abort it"),
    -30797: (CorruptData, "a page is missing"),
    -30796: (CorruptData, "a page is damaged"),
    -30795: (BusError, "an earlier write failed, open it again"),
    -30794: (CorruptData, "written by another version of LMDB"),
    -30793: (CorruptData, "not an LMDB file"),
    -30792: (NoSpace, "the map is full"),
    -30790: (BusError, "too many readers"),
    -30784: (CorruptData, "the table has other flags"),
}


def _failure(what: str, code: int):
    if code == _BAD_VALSIZE:
        return ValueError(
            "%s: a key has 1 to %d bytes, duplicates are of one length up to %d" % (what, _MAX_KEY_BYTES, _MAX_KEY_BYTES)
        )
    if code in _ERRORS:
        kind, text = _ERRORS[code]
        return kind("%s: %s" % (what, text))
    return failure(what, code) if code > 0 else BusError("%s: LMDB error %d" % (what, code))


def _pointer(out: bytearray) -> int:
    return struct.unpack("<Q", out)[0]


def _map_bytes(directory: str) -> int:
    stat = os.statvfs(directory)
    return stat[1] * stat[2] // _MAP_STEP_BYTES * _MAP_STEP_BYTES or _FALLBACK_MAP_BYTES


class LmdbTxn(Txn):
    """An error of `put` or `delete` aborts the transaction; a later `abort` does nothing."""

    def __init__(self, kv, write: bool):
        out = bytearray(8)
        kv.check(_lmdb.mdb_txn_begin(kv.env, None, 0 if write else _RDONLY, out))
        self._handle = _pointer(out)
        self._kv = kv
        self._write = write
        self._tables = kv.tables
        self._key = kv.key
        self._value = kv.value
        self._cursors = []
        self._looking = {}  # table -> cursor of `values`

    # MicroPython keeps a frame of more than 11 words (locals and stack) on the heap, where finding room can cost 100 us
    # among many live objects: `get`, `put` and their parts stay below it.

    def _set_key(self, key: bytes):
        self._key[0] = len(key)
        self._key[1] = address(key)
        return self._key

    def _set_value(self, value: bytes):
        self._value[0] = len(value)
        self._value[1] = address(value)
        return self._value

    def get(self, table: str, key: bytes):
        self._key[0] = len(key)
        self._key[1] = address(key)
        result = _lmdb.mdb_get(self._handle, self._tables[table], self._key, self._value)
        if result == 0:
            return copy_at(self._value[1], self._value[0])
        if result == _NOTFOUND:
            return None
        raise _failure("read of " + table, result)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._set_key(key)
        self._set_value(value)
        result = self._put(table)
        if result:
            self.abort()
            raise _failure("write to " + table, result)

    def _put(self, table: str) -> int:
        return _lmdb.mdb_put(self._handle, self._tables[table], self._key, self._value, 0)

    def delete(self, table: str, key: bytes, value=None) -> bool:
        given = None
        if value is not None:
            if table not in self._kv.duplicates and self.get(table, key) != value:
                return False
            given = self._set_value(value)
        result = _lmdb.mdb_del(self._handle, self._tables[table], self._set_key(key), given)
        if result == _NOTFOUND:
            return False
        if result:
            self.abort()
            raise _failure("delete from " + table, result)
        return True

    def scan(self, table: str, start: bytes = b"", stop=None, reverse: bool = False):
        if stop == b"":
            return
        cursor = self._open_cursor(table)
        step = self._seek_last(cursor, stop) if reverse else self._seek_first(start)
        key, value = self._key, self._value
        result = _lmdb.mdb_cursor_get(cursor, key, value, step)
        step = _PREV if reverse else _NEXT
        while result == 0:
            found = copy_at(key[1], key[0])
            if found < start if reverse else (stop is not None and found >= stop):
                break
            yield found, copy_at(value[1], value[0])
            if cursor not in self._cursors:
                raise RuntimeError("scan of %s: the transaction is finished" % table)
            result = _lmdb.mdb_cursor_get(cursor, key, value, step)
        # Not in a finally: MicroPython does not run it for an abandoned generator, `_finish` closes the cursor then.
        self._cursors.remove(cursor)
        _lmdb.mdb_cursor_close(cursor)
        if result not in (0, _NOTFOUND):
            raise _failure("scan of " + table, result)

    def values(self, table: str, key: bytes) -> bytes:
        cursor = self._looking.get(table)
        if cursor is None:
            cursor = self._looking[table] = self._open_cursor(table)
        value = self._value
        result = _lmdb.mdb_cursor_get(cursor, self._set_key(key), value, _SET)
        if result == 0:  # a page of them, a single one as it is
            result = _lmdb.mdb_cursor_get(cursor, self._key, value, _GET_MULTIPLE)
            if result == 0:
                return copy_at(value[1], value[0])
        if result == _NOTFOUND:
            return b""
        raise _failure("read of " + table, result)

    def _open_cursor(self, table: str) -> int:
        out = bytearray(8)
        result = _lmdb.mdb_cursor_open(self._handle, self._tables[table], out)
        if result:
            raise _failure("scan of " + table, result)
        self._cursors.append(_pointer(out))
        return self._cursors[-1]

    def _seek_first(self, start: bytes) -> int:
        """The operation that gives the first entry of a forward scan; `start` is in `_key`."""
        if not start:
            return _FIRST
        self._set_key(start)
        return _SET_RANGE

    def _seek_last(self, cursor: int, stop) -> int:
        """The operation that gives the first entry of a backward scan, once the cursor stands at `stop`."""
        if stop is None:
            return _LAST
        return _LAST if _lmdb.mdb_cursor_get(cursor, self._set_key(stop), self._value, _SET_RANGE) else _PREV

    def _finish(self) -> int:
        for cursor in self._cursors:
            _lmdb.mdb_cursor_close(cursor)
        self._cursors = []
        self._looking = {}
        handle = self._handle
        self._handle = 0
        if handle:
            self._kv.finished(self)
        return handle

    def commit(self) -> None:
        handle = self._finish()
        if not handle:
            raise RuntimeError("commit: the transaction is finished")
        self._kv.check(_lmdb.mdb_txn_commit(handle))

    def abort(self) -> None:
        handle = self._finish()
        if handle:
            _lmdb.mdb_txn_abort(handle)


class Lmdb(Kv):
    """`tables` are names, `duplicates` those of them with sorted fixed-size duplicates. `map_bytes` bounds the size
    (0: what the filesystem has). Raises CorruptData, NoSpace, NotReady, BusError."""

    def __init__(self, directory: str, tables, duplicates=(), map_bytes: int = 0, read_only: bool = False):
        self.name = directory
        self.duplicates = tuple(duplicates)
        self.tables = {}
        self.key = array("Q", [0, 0])  # MDB_val: size, address
        self.value = array("Q", [0, 0])
        self._open_txns = []
        self._writer = None
        if not read_only:
            self._make_directory()
        out = bytearray(8)
        self.check(_lmdb.mdb_env_create(out))
        self.env = _pointer(out)
        try:
            self._open(tables, map_bytes, read_only)
        except BaseException:
            self.close()
            raise

    def _make_directory(self) -> None:
        try:
            os.stat(self.name)
        except OSError:
            os.mkdir(self.name)

    def _open(self, tables, map_bytes: int, read_only: bool) -> None:
        env = self.env
        self.check(_lmdb.mdb_env_set_maxdbs(env, len(tables)))
        self.check(_lmdb.mdb_env_set_mapsize(env, map_bytes or _map_bytes(self.name)))
        self.check(_lmdb.mdb_env_open(env, self.name, _NOTLS | (_RDONLY if read_only else 0), 0o600))
        self.check(_lmdb.mdb_reader_check(env, None))
        out = bytearray(8)
        self.check(_lmdb.mdb_txn_begin(env, None, _RDONLY if read_only else 0, out))
        txn = _pointer(out)
        try:
            for table in tables:
                self.tables[table] = self._open_table(txn, table, 0 if read_only else _CREATE)
        except BaseException:
            _lmdb.mdb_txn_abort(txn)
            raise
        self.check(_lmdb.mdb_txn_commit(txn))

    def _open_table(self, txn: int, table: str, flags: int) -> int:
        if table in self.duplicates:
            flags |= _DUPSORT_DUPFIXED
        out = bytearray(4)
        result = _lmdb.mdb_dbi_open(txn, table, flags, out)
        if result == _NOTFOUND:
            raise CorruptData("%s: has no table %s" % (self.name, table))
        self.check(result)
        return struct.unpack("<I", out)[0]

    def check(self, result: int) -> None:
        """Raises what the LMDB result `result` means."""
        if result:
            raise _failure("database " + self.name, result)

    def begin(self, write: bool = False) -> LmdbTxn:
        # LMDB would wait for the first writer for ever, and the loop with it.
        if write and self._writer:
            raise RuntimeError("database %s: a write transaction is open, finish it before any await" % self.name)
        txn = LmdbTxn(self, write)
        self._open_txns.append(txn)
        if write:
            self._writer = txn
        return txn

    def finished(self, txn: LmdbTxn) -> None:
        """A transaction of ours ended."""
        self._open_txns.remove(txn)
        if txn is self._writer:
            self._writer = None

    def size_bytes(self) -> int:
        info = bytearray(struct.calcsize(_ENV_INFO))
        stat = bytearray(struct.calcsize(_ENV_STAT))
        self.check(_lmdb.mdb_env_info(self.env, info))
        self.check(_lmdb.mdb_env_stat(self.env, stat))
        last_page = struct.unpack(_ENV_INFO, info)[2]
        return (last_page + 1) * struct.unpack(_ENV_STAT, stat)[0]

    def close(self) -> None:
        """Aborts what is open."""
        for txn in list(self._open_txns):
            txn.abort()
        if self.env:
            _lmdb.mdb_env_close(self.env)
            self.env = 0


def replace(directory: str, by: str) -> None:
    """Put the closed database of `by` in the place of the closed one in `directory`, durably, by one rename. Raises HalError."""
    for name in (directory, by):
        try:
            os.stat(name)
        except OSError:
            os.mkdir(name)
    check(libc.rename(by + "/data.mdb", directory + "/data.mdb"), "put a database into " + directory)
    for name in (directory, by):
        handle = check(libc.open(name, O_RDONLY | O_CLOEXEC, 0), "open " + name)
        try:
            check(libc.fsync(handle), "flush " + name)
        finally:
            libc.close(handle)
