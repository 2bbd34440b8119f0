"""hal.kv in memory, for tests: the committed state lives in a `SimKvStorage` and outlives a power cut; the rest does not."""

from hal.errors import NoSpace
from hal.kv import Kv, Txn
from hal.sim.power import Power

_MAX_KEY_BYTES = 511  # as LMDB
_VALUES = 32


def _bisect(items, item) -> int:
    """Index of the first element that is not below `item`."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low


class _Table:
    """Sorted keys, and for each a tuple of its sorted values (one, but in a duplicates table)."""

    def __init__(self, keys: list, values: dict):
        self.keys = keys
        self.values = values

    def copy(self):
        return _Table(list(self.keys), dict(self.values))

    def set(self, key: bytes, values: tuple) -> None:
        if key not in self.values:
            self.keys.insert(_bisect(self.keys, key), key)
        self.values[key] = values

    def remove(self, key: bytes) -> None:
        del self.keys[_bisect(self.keys, key)]
        del self.values[key]

    def size_bytes(self) -> int:
        return sum([len(key) * len(values) + len(values[0]) * len(values) for key, values in self.values.items()])


class SimKvStorage:
    """What is on stable storage. `limit_bytes` bounds keys and values together (0: no bound)."""

    def __init__(self, limit_bytes: int = 0):
        self.limit_bytes = limit_bytes
        self.tables = {}

    def fork(self):
        """An independent copy in constant time: committed tables never change."""
        other = SimKvStorage(self.limit_bytes)
        other.tables = dict(self.tables)
        return other

    def size_bytes(self) -> int:
        return sum([table.size_bytes() for table in self.tables.values()])


class SimTxn(Txn):
    def __init__(self, kv, write: bool):
        self._kv = kv
        self._write = write
        self._tables = dict(kv.storage.tables)
        self._copied = {}
        self._open = True

    def _table(self, table: str) -> _Table:
        self._kv.power.check()
        if not self._open:
            raise RuntimeError("%s: the transaction is finished" % table)
        return self._tables[table]

    def _own_table(self, table: str) -> _Table:
        """The table to change: copied at the first change, so that others keep their snapshot."""
        own = self._table(table)
        if not self._write:
            raise RuntimeError("%s: the transaction is read-only" % table)
        if table not in self._copied:
            own = self._copied[table] = self._tables[table] = own.copy()
        return own

    def _refuse(self, text: str) -> None:
        self.abort()
        raise ValueError(text)

    def get(self, table: str, key: bytes):
        values = self._table(table).values.get(bytes(key))
        return values[0] if values else None

    def put(self, table: str, key: bytes, value: bytes) -> None:
        own = self._own_table(table)
        key, value = bytes(key), bytes(value)
        if not 1 <= len(key) <= _MAX_KEY_BYTES:
            self._refuse("%s: key of %d bytes, expected 1 to %d" % (table, len(key), _MAX_KEY_BYTES))
        values = (value,)
        if table in self._kv.duplicates:
            held = own.values.get(key, ())
            if not 1 <= len(value) <= _MAX_KEY_BYTES or held and len(held[0]) != len(value):
                self._refuse(
                    "%s: duplicate of %d bytes, expected one length from 1 to %d" % (table, len(value), _MAX_KEY_BYTES)
                )
            at = _bisect(held, value)
            if held[at : at + 1] == values:
                return
            values = held[:at] + values + held[at:]
        own.set(key, values)

    def delete(self, table: str, key: bytes, value=None) -> bool:
        own = self._own_table(table)
        held = own.values.get(key)
        if held is None or value is not None and value not in held:
            return False
        rest = tuple([other for other in held if value is not None and other != value])
        if rest:
            own.set(key, rest)
        else:
            own.remove(key)
        return True

    def scan(self, table: str, start: bytes = b"", stop=None, reverse: bool = False):
        held = self._table(table)
        first = _bisect(held.keys, start)
        end = len(held.keys) if stop is None else _bisect(held.keys, stop)
        for index in range(end - 1, first - 1, -1) if reverse else range(first, end):
            self._table(table)
            key = held.keys[index]
            values = held.values[key]
            for value in reversed(values) if reverse else values:
                yield key, value

    def values(self, table: str, key: bytes) -> bytes:
        return b"".join(self._table(table).values.get(bytes(key), ())[:_VALUES])

    def commit(self) -> None:
        if not self._open:
            raise RuntimeError("commit: the transaction is finished")
        self.abort()
        if self._write:
            self._kv.store(self._tables)

    def abort(self) -> None:
        self._open = False
        if self._kv.writer is self:
            self._kv.writer = None


class SimKv(Kv):
    """Every commit of a write transaction is two events of `power`: "commit" before it and "committed" after it."""

    def __init__(self, storage: SimKvStorage, tables, duplicates=(), power=None):
        self.storage = storage
        self.duplicates = tuple(duplicates)
        self.power = power or Power()
        self.writer = None
        for table in tables:
            if table not in storage.tables:
                storage.tables[table] = _Table([], {})

    def begin(self, write: bool = False) -> SimTxn:
        self.power.check()
        if write and self.writer:
            raise RuntimeError("database: a write transaction is open, finish it before any await")
        txn = SimTxn(self, write)
        if write:
            self.writer = txn
        return txn

    def store(self, tables: dict) -> None:
        """Make `tables` the committed state, all or nothing."""
        self.power.event("commit")
        limit = self.storage.limit_bytes
        if limit and sum([table.size_bytes() for table in tables.values()]) > limit:
            raise NoSpace("database: full at %d bytes" % limit)
        self.storage.tables = tables
        self.power.event("committed")

    def size_bytes(self) -> int:
        return self.storage.size_bytes()

    def close(self) -> None:
        if self.writer:
            self.writer.abort()
