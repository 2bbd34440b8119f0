"""Compaction on a simulated disk: what is left in sparse segments moves, the rest of the disk comes free. Runs on both interpreters."""

from firmware.formats import catalog as layout
from hal.linux.rwp import NativeProcessor
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.unit.test_store import Bench, contents, restored

_PROCESSOR = NativeProcessor()


async def sparse(bench, clients: int = 1):
    """(store, {client: (view, files)}): every segment holds a little of what is kept and much of what is freed."""
    store = await bench.start()
    kept = {}
    for number in range(clients):
        client = await store.add_client("pc%d" % number)
        agent = model.ModelAgent(_PROCESSOR)
        files = {b"f%02d" % i: contents(100 * number + i, 150000) for i in range(20)}
        first, _ = await agent.backup(await store.begin(client.id), files, per_pack=1)
        files = {name: files[name] for name in sorted(files)[::6]}
        view, _ = await agent.backup(await store.begin(client.id), files, per_pack=1)
        await store.delete_view(client.id, first)
        kept[client] = (view, files)
    await store.collector.drain()
    return store, kept


async def compact(store, percent: int = 50) -> int:
    steps = 0
    while await store.compactor.step(percent):
        steps += 1
        await store.collector.drain()
    return steps


async def test_sparse_segments_become_free():
    bench = Bench(24)
    store, kept = await sparse(bench, 3)
    before = store.usage()
    assert before["live_bytes"] < 2 << 20
    steps = await compact(store)
    after = store.usage()
    assert steps > 2 and after["free_segments"] - before["free_segments"] > 3, (before, after)
    assert after["live_bytes"] == before["live_bytes"]
    assert store.compactor.moved_bytes <= before["live_bytes"]
    await audit(store)
    store = await bench.reopen()
    for client, (view, files) in kept.items():
        assert await restored(store, client, view) == files
    assert await compact(store) == 0, "it goes round in circles"


async def test_records_of_views_and_clients_move_too():
    bench = Bench(24)
    store, kept = await sparse(bench)
    (client,) = kept
    gone = await store.add_client("gone")
    await store.remove_client(gone.id)
    await compact(store, 75)
    txn = store.kv.begin()
    held = {int.from_bytes(key, "big"): layout.SEGMENT.unpack(value) for key, value in txn.scan(layout.SEGMENTS)}
    txn.abort()
    for row in held.values():
        assert row.state == layout.OPEN or row.live * 4 > row.tail * 3, "a sealed segment is kept for a few records"
    await audit(store)
    assert [c.name for c in store.clients()] == ["pc0"]
    assert await restored(await bench.reopen(), client, kept[client][0]) == kept[client][1]


async def test_a_snapshot_reads_what_was_moved_where_it_was():
    bench = Bench(30)
    store, kept = await sparse(bench)
    (client,) = kept
    snapshot = store.snapshot()
    reader = store.reader(client.uuid)
    rows = store.views(client.id)
    await compact(store)
    free = store.segments.free_count()
    agent = model.ModelAgent(_PROCESSOR)
    await agent.backup(await store.begin(client.id), {b"n%d" % i: contents(900 + i, 200000) for i in range(8)})
    for table, key, value in snapshot.dump():
        if table == layout.PACKS:
            await store.packs.stored(layout.PACK.unpack(value))
    snapshot.release()
    assert store.segments.free_count() > free - 4
    assert await model.restore(reader, _PROCESSOR, rows[-1].root_group, rows[-1].root_index) == kept[client][1]


async def test_pinned_space_is_not_filled_with_copies():
    bench = Bench(40)
    store, _ = await sparse(bench, 5)
    snapshot = store.snapshot()
    assert await compact(store, 75) <= 8
    assert store.segments.waiting_count() <= 9
    snapshot.release()
    assert await compact(store, 75) > 0


async def test_what_is_damaged_stays_and_is_tried_once():
    bench = Bench(24)
    store, kept = await sparse(bench)
    (client,) = kept
    view, files = kept[client]
    txn = store.kv.begin()
    places = [layout.PACK.unpack(value) for key, value in txn.scan(layout.PACKS) if key[0] == 0]
    txn.abort()
    hit = places[2]  # the first of a file's two
    bench.disk.poke((1 << 20) + hit.segment * (1 << 20) + hit.offset + 5000, b"\x55\xaa\x55")
    await compact(store)
    assert await store.compactor.step(50) is False
    left = await restored(store, client, view)
    assert len(left) == len(files) - 1 and all([files[name] == left[name] for name in left])
