"""Decoded packs are kept once for all readers, within a bound, and never outlive their segment. Runs on both interpreters."""

from firmware.formats import catalog as layout
from firmware.store import pack_cache
from firmware.store.pack_cache import PackCache
from tests.fixtures import model
from tests.unit.test_store import _PROCESSOR, Bench, contents, restored


class _Pack:
    def __init__(self, size: int):
        self.body, self.raw = bytes(size), bytes(size)


def test_the_bound_is_in_bytes():
    cache = PackCache(1000)
    for at in range(50):
        cache.keep((at, 0), _Pack(10 + at), 0)
        assert cache.bytes == sum([2 * (10 + key) for key in range(50) if cache.get((key, 0)) is not None]) <= 1000
    assert cache.get((49, 0)) is not None and cache.get((0, 0)) is None
    cache.keep((99, 0), _Pack(501), 0)
    assert cache.get((99, 0)) is None, "too large alone"
    cache.forget()
    assert cache.bytes == 0 and cache.get((49, 0)) is None
    cache.keep((1, 0), _Pack(10), 0)
    assert cache.get((1, 0)) is None, "read in an earlier era"


async def test_a_hundred_readers_share_one():
    """The bound is the store's, however many sessions there are."""
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    files = {b"f%d" % i: contents(i, 90000) for i in range(20)}
    view, _ = await model.ModelAgent(_PROCESSOR).backup(await store.begin(client.id), files, per_pack=2)
    readers = [store.reader(client.uuid) for _ in range(100)]
    (row,) = [row for row in store.views(client.id) if row.view == view]
    for reader in readers[:5]:
        assert await model.restore(reader, _PROCESSOR, row.root_group, row.root_index) == files
    assert all([reader._packs.cache is store.packs.cache for reader in readers])
    assert 0 < store.packs.cache.bytes <= pack_cache.BYTES


def _rows(store) -> list:
    txn = store.kv.begin()
    rows = [layout.PACK.unpack(value) for _, value in txn.scan(layout.PACKS)]
    txn.abort()
    return rows


async def test_what_a_pinned_reader_read_does_not_outlive_the_segment():
    """It reads from a segment that is free already, as it may; later something else lies at the same place."""
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    view, _ = await agent.backup(await store.begin(client.id), {b"old": contents(1, 3000000)})
    await store.collector.drain()
    old = _rows(store)
    pin = store.segments.pin()
    await store.delete_view(client.id, view)
    await store.collector.drain()
    for row in old:
        await store.packs.load(row)
        await store.tables.get(row)
    store.segments.unpin(pin)
    store.segments._cursor = old[1].segment  # it is taken before anything else is freed
    files = {b"new": contents(2, 2500000)}
    view, _ = await model.ModelAgent(_PROCESSOR).backup(await store.begin(client.id), files)
    places = {(row.segment, row.offset) for row in old}
    again = [row for row in _rows(store) if (row.segment, row.offset) in places]
    assert again, "no place was written anew"
    for row in again:
        loaded = await store.packs.load(row)
        assert bytes(loaded.body) == bytes(await store.packs.stored(row)), "stale"
    assert await restored(store, client, view) == files
