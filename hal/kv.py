"""Interface of an ordered, transactional key-value database: the catalog's ground. LMDB in production, a dict in tests.

Keys and values are bytes. Tables are named once at open. A read transaction sees one instant, however long it lives.
"""


class Txn:
    """A transaction; finish it with exactly one of commit or abort. One write transaction at a time (cooperative: never
    await while holding one)."""

    def get(self, table: str, key: bytes):
        """Value as bytes, or None."""
        raise NotImplementedError

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Insert or replace; in a duplicates table, add the (key, value) pair if absent."""
        raise NotImplementedError

    def delete(self, table: str, key: bytes, value=None) -> bool:
        """Remove the key (all duplicates), or only this pair when `value` is given. True if something was removed."""
        raise NotImplementedError

    def scan(self, table: str, start: bytes = b"", stop=None, reverse: bool = False):
        """Generator of (key, value) with start <= key < stop in key order (stop None: to the end).

        reverse=True gives the same range from its end backwards. The table may not be changed while scanning; take a
        list first if you must. Memory does not grow with the range.
        """
        raise NotImplementedError

    def values(self, table: str, key: bytes) -> bytes:
        """The first values under `key` of a duplicates table, one after the other, as many as are found at once: of 24 bytes at least
        32. b"" if there are none."""
        raise NotImplementedError

    def commit(self) -> None:
        """Durable on return, all or nothing. Raises NoSpace (map or filesystem full; nothing changed)."""
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError


class Kv:
    def begin(self, write: bool = False) -> Txn:
        raise NotImplementedError

    def size_bytes(self) -> int:
        """Bytes in use on stable storage."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
