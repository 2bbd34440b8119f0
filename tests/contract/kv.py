"""Contract of hal.kv.Kv: `CASES` take `open`, which opens the same database again: tables "plain", "other" and "pairs"
(duplicates). `open(limit_bytes)` bounds its size."""

from hal.errors import NoSpace


def _raises(kind, call, *arguments) -> None:
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def _fill(kv, table: str, pairs) -> None:
    txn = kv.begin(write=True)
    for key, value in pairs:
        txn.put(table, key, value)
    txn.commit()


async def get_put_delete(open) -> None:
    kv = open()
    txn = kv.begin(write=True)
    assert txn.get("plain", b"k") is None
    txn.put("plain", b"k", b"one")
    txn.put("plain", b"k", b"two")
    txn.put("plain", b"empty", b"")
    txn.put("plain", b"large", bytes(100000))
    txn.put("other", b"k", b"other")
    assert txn.get("plain", b"k") == b"two"
    txn.commit()
    txn = kv.begin()
    assert txn.get("plain", b"k") == b"two"
    assert txn.get("plain", b"empty") == b""
    assert txn.get("plain", b"large") == bytes(100000)
    assert txn.get("other", b"k") == b"other"
    assert txn.get("other", b"empty") is None
    txn.abort()
    txn = kv.begin(write=True)
    assert txn.delete("plain", b"none") is False
    assert txn.delete("plain", b"k", b"one") is False
    assert txn.delete("plain", b"k", b"two") is True
    assert txn.delete("plain", b"empty") is True
    assert [key for key, _ in txn.scan("plain")] == [b"large"]
    txn.commit()
    kv.close()


async def buffers_are_accepted(open) -> None:
    kv = open()
    view = memoryview(b"__key__value")
    _fill(kv, "plain", [(bytearray(b"a"), view[7:]), (view[2:5], bytearray(b"b"))])
    txn = kv.begin()
    assert list(txn.scan("plain")) == [(b"a", b"value"), (b"key", b"b")]
    assert txn.get("plain", view[2:5]) == b"b"
    txn.abort()
    kv.close()


async def scans(open) -> None:
    kv = open()
    pairs = [(b"%03d" % i, b"v%d" % i) for i in range(0, 200, 2)]
    _fill(kv, "plain", reversed(pairs))
    txn = kv.begin()
    bounds = (b"", b"000", b"001", b"050", b"051", b"198", b"199", b"2", None)
    for start in bounds[:-1]:
        for stop in bounds:
            expected = [pair for pair in pairs if pair[0] >= start and (stop is None or pair[0] < stop)]
            assert list(txn.scan("plain", start, stop)) == expected, (start, stop)
            assert list(txn.scan("plain", start, stop, reverse=True)) == expected[::-1], (start, stop)
    assert list(txn.scan("other")) == list(txn.scan("other", reverse=True)) == []
    txn.abort()
    kv.close()


async def interleaved_scans(open) -> None:
    kv = open()
    _fill(kv, "plain", [(b"%d" % i, b"%d" % -i) for i in range(5)])
    txn = kv.begin()
    together = list(zip(txn.scan("plain"), txn.scan("plain", reverse=True)))
    assert [(a[0], b[0]) for a, b in together] == [(b"%d" % i, b"%d" % (4 - i)) for i in range(5)]
    for key, value in txn.scan("plain"):
        assert txn.get("plain", key) == value
    txn.abort()
    kv.close()


async def abandoned_scan(open) -> None:
    kv = open()
    _fill(kv, "plain", [(b"%d" % i, b"") for i in range(9)])
    for write in (False, True):
        txn = kv.begin(write)
        scan = txn.scan("plain")
        assert next(scan) == (b"0", b"")
        txn.abort()
        _raises(RuntimeError, next, scan)
    kv.close()


async def duplicates(open) -> None:
    kv = open()
    _fill(kv, "pairs", [(b"b", b"02"), (b"a", b"09"), (b"b", b"01"), (b"b", b"02"), (b"c", b"00"), (b"b", b"03")])
    txn = kv.begin(write=True)
    ordered = [(b"a", b"09"), (b"b", b"01"), (b"b", b"02"), (b"b", b"03"), (b"c", b"00")]
    assert list(txn.scan("pairs")) == ordered
    assert list(txn.scan("pairs", reverse=True)) == ordered[::-1]
    assert list(txn.scan("pairs", b"b", b"c")) == ordered[1:4]
    assert list(txn.scan("pairs", b"b", b"c", reverse=True)) == ordered[3:0:-1]
    assert txn.get("pairs", b"b") == b"01"
    assert [txn.values("pairs", key) for key in (b"b", b"a", b"aa", b"c")] == [b"010203", b"09", b"", b"00"]
    assert txn.delete("pairs", b"b", b"99") is False
    assert txn.delete("pairs", b"b", b"01") is True
    assert list(txn.scan("pairs", b"b", b"c")) == ordered[2:4]
    assert txn.delete("pairs", b"b") is True
    assert txn.delete("pairs", b"b") is False
    assert list(txn.scan("pairs")) == [ordered[0], ordered[4]]
    txn.commit()
    kv.close()


async def many_duplicates(open) -> None:
    kv = open()
    _fill(kv, "pairs", [(b"key", b"%08d" % i) for i in range(3000)])
    txn = kv.begin()
    assert [value for _, value in txn.scan("pairs")] == [b"%08d" % i for i in range(3000)]
    assert txn.values("pairs", b"key").startswith(b"".join([b"%08d" % i for i in range(32)]))
    assert txn.values("pairs", b"kez") == b""
    txn.abort()
    kv.close()


async def snapshot(open) -> None:
    """A reader sees one instant while a writer commits; abort leaves nothing behind."""
    kv = open()
    _fill(kv, "plain", [(b"a", b"old"), (b"b", b"old")])
    old = kv.begin()
    scan = old.scan("plain")
    assert next(scan) == (b"a", b"old")
    txn = kv.begin(write=True)
    txn.put("plain", b"a", b"new")
    txn.delete("plain", b"b")
    assert kv.begin().get("plain", b"a") == b"old"
    txn.commit()
    assert old.get("plain", b"a") == b"old"
    assert list(scan) == [(b"b", b"old")]
    old.abort()
    txn = kv.begin(write=True)
    txn.put("plain", b"a", b"aborted")
    txn.abort()
    txn = kv.begin()
    assert list(txn.scan("plain")) == [(b"a", b"new")]
    kv.close()


async def committed_only_survives(open) -> None:
    kv = open()
    _fill(kv, "plain", [(b"a", b"1")])
    txn = kv.begin(write=True)
    txn.put("plain", b"b", b"2")
    kv.close()
    kv = open()
    txn = kv.begin()
    assert list(txn.scan("plain")) == [(b"a", b"1")]
    txn.abort()
    assert kv.size_bytes() > 0
    kv.close()


async def transaction_rules(open) -> None:
    kv = open()
    txn = kv.begin(write=True)
    _raises(RuntimeError, kv.begin, True)
    txn.abort()
    txn.abort()
    for call in (txn.commit, lambda: txn.get("plain", b"k"), lambda: txn.put("plain", b"k", b"")):
        _raises(RuntimeError, call)
    txn = kv.begin(write=True)
    txn.commit()
    _raises(RuntimeError, txn.commit)
    kv.begin(write=True).abort()
    kv.close()


async def bad_sizes(open) -> None:
    kv = open()
    for table, key, value in (("plain", b"", b"v"), ("plain", bytes(512), b"v"), ("pairs", b"k", bytes(512))):
        txn = kv.begin(write=True)
        _raises(ValueError, txn.put, table, key, value)
        _raises(RuntimeError, txn.commit)
    _fill(kv, "plain", [(bytes(511), b"v")])
    kv.close()


async def full(open) -> None:
    """NoSpace from put or commit changes nothing, and the database works on."""
    kv = open(200000)
    _fill(kv, "plain", [(b"a", b"1")])
    _raises(NoSpace, _fill, kv, "plain", [(b"%d" % i, bytes(5000)) for i in range(100)])
    txn = kv.begin()
    assert list(txn.scan("plain")) == [(b"a", b"1")]
    txn.abort()
    _fill(kv, "plain", [(b"b", b"2")])
    txn = kv.begin()
    assert txn.get("plain", b"b") == b"2"
    kv.close()


CASES = {
    "get_put_delete": get_put_delete,
    "buffers_are_accepted": buffers_are_accepted,
    "scans": scans,
    "interleaved_scans": interleaved_scans,
    "abandoned_scan": abandoned_scan,
    "duplicates": duplicates,
    "many_duplicates": many_duplicates,
    "snapshot": snapshot,
    "committed_only_survives": committed_only_survives,
    "transaction_rules": transaction_rules,
    "bad_sizes": bad_sizes,
    "full": full,
}
