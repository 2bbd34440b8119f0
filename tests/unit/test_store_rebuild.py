"""The catalog made anew from the segments, and `store check`: over a simulated disk. Runs on both interpreters."""

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.store import segment_writer
from firmware.store.check import FINDINGS, Check
from firmware.store.store import Store
from hal.sim.kv import SimKv, SimKvStorage
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.fixtures.rebuilt import assert_same, rebuilt
from tests.unit.test_store import _PROCESSOR, Bench, contents, restored

segment_writer._BUFFER_BYTES = 1 << 16


async def checked(store) -> dict:
    """{finding: count} of `store check`."""
    kv = SimKv(SimKvStorage(), Store.TABLES, Store.DUPLICATES)
    report = await Check(store, kv).run()
    assert all([row["meaning"] and row["advice"] and row["examples"] for row in report["findings"]])
    return {row["finding"]: row["count"] for row in report["findings"]}


async def busy(bench):
    """A store with shared files, deleted views, a removed client; (store, [(client, view, files)]) of what is left."""
    store = await bench.start()
    anna = await store.add_client("anna")
    bert = await store.add_client("bert")
    carl = await store.add_client("carl")
    agents = {client.id: model.ModelAgent(_PROCESSOR) for client in (anna, bert, carl)}
    files = {b"a%d" % i: contents(i, 30000 * i) for i in range(1, 9)}
    left = []
    for step in range(6):
        files = dict(files)
        files[b"b%d" % (step % 3)] = contents(100 + step, 200000)
        view, _ = await agents[anna.id].backup(await store.begin(anna.id), files, time_ns=step)
        left.append((anna, view, files))
    backup = await store.begin(bert.id)
    shared = files[b"a5"]
    granted = await model.prove(_PROCESSOR, backup, {b"a5": shared})
    assert list(granted) == [b"a5"]
    mine = {b"a5": shared, b"own": contents(77, 50000)}
    view, _ = await agents[bert.id].backup(backup, mine, granted=granted)
    left.append((bert, view, mine))
    await agents[carl.id].backup(await store.begin(carl.id), {b"c": contents(78, 400000)})
    for client, view, _ in (left[0], left[1], left[3]):
        await store.delete_view(client.id, view)
    await store.set_token(bert.id, b"t" * 32)
    await store.remove_client(carl.id)
    await store.collector.drain()
    await audit(store)
    return store, [left[2], left[4], left[5], left[6]]


async def test_rebuilt_catalog_is_the_one_that_was_lost():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    made = await rebuilt(bench.disk, store.superblock, _PROCESSOR)
    assert_same(bench.storage, made)
    bench.storage = made
    store = await bench.reopen()
    assert len(store.clients()) == 2
    for client, view, files in left:
        assert await restored(store, client, view) == files
    assert sum([len(store.views(client.id)) for client in store.clients()]) == len(left)
    await audit(store)
    assert await checked(store) == {}
    agent = model.ModelAgent(_PROCESSOR)
    fresh = {b"new": contents(9, 100000)}
    view, _ = await agent.backup(await store.begin(left[0][0].id), fresh)
    assert await restored(store, left[0][0], view) == fresh
    await store.collector.drain()
    await audit(store)


async def test_rebuild_over_damage_keeps_what_is_whole():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    found = store.find_pack(packs.DATA, 1, 0)[1]
    start = (1 << 20) + found.segment * store.superblock.segment_bytes
    bench.disk.poke(start, bytes(range(200)))  # the first record of the segment
    bench.disk.poke(start + found.offset + 200, b"damage")
    bench.storage = await rebuilt(bench.disk, store.superblock, _PROCESSOR)
    store = await bench.reopen()
    for client, view, files in left:
        got = await restored(store, client, view)
        whole = [name for name in files if got.get(name) == files[name]]
        assert len(whole) >= len(files) - 3, (view, sorted(whole))  # the damaged pack has chunks of three
        assert all([got[name] == files[name] for name in got])


async def test_rebuild_of_an_empty_store():
    bench = Bench()
    store = await bench.start()
    made = await rebuilt(bench.disk, store.superblock, _PROCESSOR)
    bench.storage = made
    store = await bench.reopen()
    assert store.clients() == [] and store.usage()["used_bytes"] == 0


async def test_check_finds_nothing_in_a_sound_store():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    assert await checked(store) == {}
    backup = await store.begin(left[0][0].id)
    await model.ModelAgent(_PROCESSOR)._send(backup, {b"x": contents(5, 90000)}, [b"x"], {})
    await backup.sync()
    assert await checked(store) == {}, "a backup under way is no fault"


def _change(store, table: str, key: bytes, value) -> None:
    txn = store.kv.begin(write=True)
    if value is None:
        assert txn.delete(table, key)
    else:
        txn.put(table, key, value)
    txn.commit()


async def test_check_names_each_kind_of_fault():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    sound = bench.storage.fork()
    txn = store.kv.begin()
    node, count = next(txn.scan(layout.REFS, layout.item_key(packs.NODES, 0, 0)))
    file, _ = next(txn.scan(layout.REFS, layout.item_key(packs.FILES, 0, 0)))
    data, row = next(txn.scan(layout.PACKS, layout.item_key(packs.DATA, 0, 0)))
    row = layout.PACK.unpack(row)
    segment, held = next(txn.scan(layout.SEGMENTS))
    held = layout.SEGMENT.unpack(held)
    grant = next(txn.scan(layout.GRANTS))[0]
    crc, entry = next(txn.scan(layout.RFE))
    txn.abort()
    number = layout.NUMBER.unpack(count).value
    more = layout.SEGMENT.pack(held.state, held.area, held.tail, held.live + 8, held.newest)
    cases = (
        ("references too high", layout.REFS, node, layout.NUMBER.pack(number + 1)),
        ("references too low", layout.REFS, node, layout.NUMBER.pack(number - 1)),
        ("item missing", layout.REFS, file, None),
        ("item leaks", layout.REFS, layout.item_key(packs.FILES, 1, 999), layout.NUMBER.pack(0)),
        ("pack users", layout.PACKS, data, layout.PACK.pack(*(tuple(row[:-1]) + (row.live + 1,)))),
        ("live bytes", layout.SEGMENTS, segment, more),
        ("grant missing", layout.GRANTS, grant, None),
        ("file not offered", layout.RFE, crc, None),
        ("offer of nothing", layout.RFE, b"zzzz", entry[:4] + b"\xff\xff\xff\xff" + entry[8:]),
    )
    for name, table, key, value in cases:
        assert name in FINDINGS
        bench.storage.tables = dict(sound.tables)
        _change(store, table, key, value)
        found = await checked(store)
        assert name in found, (name, found)
    bench.storage.tables = dict(sound.tables)
    assert await checked(store) == {}


async def test_check_says_what_it_cannot_read():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    row = store.find_pack(packs.NODES, 6, 0)[1]
    bench.disk.poke((1 << 20) + row.segment * store.superblock.segment_bytes + row.offset + 300, b"damage")
    store.packs.cache.forget()
    assert set(await checked(store)) == {"unreadable"}


async def test_merged_views_attics_and_compacted_segments_are_rebuilt():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    anna = left[0][0]
    numbers = [row.view for row in store.views(anna.id)]
    agent = model.ModelAgent(_PROCESSOR)
    last = {b"a1": left[2][2][b"a1"]}
    number, _ = await agent.backup(await store.begin(anna.id), last, time_ns=9)
    await store.merger.fold(anna.id, numbers + [number], layout.DAILY, 1 << 40, 0)
    await store.collector.drain()
    while await store.compactor.step(75):
        await store.collector.drain()
    (view,) = store.views(anna.id)
    attic = await model.restore(store.reader(anna.uuid), _PROCESSOR, view.attic_group, view.attic_index)
    assert len(attic) == 10 and b"a1" not in attic
    assert await checked(store) == {}
    bench.storage = await rebuilt(bench.disk, store.superblock, _PROCESSOR)
    store = await bench.reopen()
    assert [tuple(row) for row in store.views(anna.id)] == [tuple(view)]
    assert await restored(store, anna, number) == last
    assert await model.restore(store.reader(anna.uuid), _PROCESSOR, view.attic_group, view.attic_index) == attic
    await audit(store)
