"""The keeper: merges by the clock, under pressure, on a full disk; attics across clients that share files. Runs on both interpreters."""

import asyncio

from firmware.core.config import Config
from firmware.formats import catalog as layout
from firmware.formats.refusal import Refusal
from firmware.store import areas
from firmware.store.keep import Keeper
from firmware.store.keep_plan import DAY_NS
from firmware.store.store import Store
from hal.linux.rwp import NativeProcessor
from hal.loop import sleep_ms
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.unit.test_store import Bench, contents, refused, restored

_PROCESSOR = NativeProcessor()
_START = 20000 * DAY_NS
_HOUR = DAY_NS // 24


class Clock:
    def __init__(self):
        self.time_ns = _START

    def now_ns(self) -> int:
        return self.time_ns


class Log:
    def __init__(self):
        self.lines = []

    def _note(self, source: str, text: str) -> None:
        self.lines.append(text)

    info = warning = error = debug = _note


async def made(segments: int = 40, **texts):
    """(bench, store, keeper, clock, log) with settings keep.*"""
    bench = Bench(segments)
    store = await bench.start()
    clock, log = Clock(), Log()
    config = Config(None, {"keep." + name: text for name, text in texts.items()})
    return bench, store, Keeper(store, config, clock, log), clock, log


async def backup(store, client, agent, files: dict, clock) -> int:
    view, _ = await agent.backup(await store.begin(client.id), files, time_ns=clock.time_ns)
    return view


def kinds(store, client) -> str:
    return "".join(["hdb"[row.kind] for row in store.views(client.id)])


async def attic_of(store, client, number: int) -> dict:
    """{name: contents} of the deleted files of a view."""
    row = [row for row in store.views(client.id) if row.view == number][0]
    if not row.attic_group:
        return {}
    return await model.restore(store.reader(client.uuid), _PROCESSOR, row.attic_group, row.attic_index)


async def test_a_day_becomes_one_view_and_deleted_files_stay_for_a_month():
    bench, store, keeper, clock, _ = await made()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    files = {b"a1": contents(1, 30000), b"b1": contents(2, 30000), b"b2": b"x"}
    for hour in range(9, 13):
        clock.time_ns = _START + hour * _HOUR
        files = dict(files)
        files[b"note%d" % hour] = contents(hour, 20000)
        files.pop(b"note%d" % (hour - 1), None)
        last = await backup(store, client, agent, files, clock)
    await keeper.turn()
    assert kinds(store, client) == "hhhh", "the day is not over"
    clock.time_ns = _START + DAY_NS
    await keeper.turn()
    assert kinds(store, client) == "d"
    assert await restored(store, client, last) == files
    notes = {b"note%d" % hour: contents(hour, 20000) for hour in range(9, 12)}
    assert await attic_of(store, client, last) == notes
    await audit(store)
    clock.time_ns += 20 * DAY_NS
    files = dict(files)
    del files[b"a1"]
    newest = await backup(store, client, agent, files, clock)
    clock.time_ns += 9 * DAY_NS
    await backup(store, client, agent, files, clock)
    await keeper.turn()
    assert kinds(store, client) == "bdh"
    assert await attic_of(store, client, last) == notes, "29 days"
    clock.time_ns += 2 * DAY_NS
    await backup(store, client, agent, files, clock)
    await keeper.turn()
    assert await attic_of(store, client, last) == {}, "31 days"
    clock.time_ns += 20 * DAY_NS
    await backup(store, client, agent, files, clock)
    await keeper.turn()
    assert kinds(store, client) == "bddh" or kinds(store, client).startswith("b")
    assert newest not in [row.view for row in store.views(client.id)] or await attic_of(store, client, newest)
    await store.collector.drain()
    await audit(store)
    store = await bench.reopen()
    assert await restored(store, client, store.views(client.id)[-1].view) == files


async def test_clients_that_share_files_each_keep_theirs():
    bench, store, keeper, clock, _ = await made()
    shared = {b"s%d" % i: contents(i, 40000) for i in range(4)}
    anna = await store.add_client("anna")
    bert = await store.add_client("bert")
    first = model.ModelAgent(_PROCESSOR)
    await backup(store, anna, first, shared, clock)
    granted_backup = await store.begin(bert.id)
    granted = await model.prove(_PROCESSOR, granted_backup, shared)
    assert sorted(granted) == sorted(shared)
    second = model.ModelAgent(_PROCESSOR)
    await second.backup(granted_backup, shared, time_ns=clock.time_ns, granted=granted)
    clock.time_ns += _HOUR
    left = {b"s0": shared[b"s0"]}
    mine = await backup(store, anna, first, left, clock)
    changed = dict(shared)
    changed[b"s1"] = b"changed by bert"
    del changed[b"s3"]
    his = await backup(store, bert, second, changed, clock)
    clock.time_ns += DAY_NS
    await keeper.turn()
    assert kinds(store, anna) == "d" and kinds(store, bert) == "d"
    assert await restored(store, anna, mine) == left
    assert await attic_of(store, anna, mine) == {name: shared[name] for name in (b"s1", b"s2", b"s3")}
    assert await restored(store, bert, his) == changed
    assert await attic_of(store, bert, his) == {b"s3": shared[b"s3"]}
    await audit(store)
    await store.remove_client(anna.id)
    await store.collector.drain()
    while await store.compactor.step(75):
        await store.collector.drain()
    store = await bench.reopen()
    assert await restored(store, bert, his) == changed
    assert await attic_of(store, bert, his) == {b"s3": shared[b"s3"]}
    await audit(store)


async def test_backups_go_on_while_views_are_merged():
    bench, store, keeper, clock, _ = await made()
    bench.disk.delay_ms = 1
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    files = {}
    for step in range(6):
        clock.time_ns = _START + step * _HOUR
        files = {b"%c%d" % (97 + i, step): contents(10 * step + i, 9000) for i in range(6)}
        await backup(store, client, agent, files, clock)
    clock.time_ns = _START + DAY_NS
    merging = asyncio.create_task(keeper.merge_now())
    more = dict(files)
    more[b"new"] = contents(99, 200000)
    running = await store.begin(client.id)
    await sleep_ms(3)
    assert not merging.done()
    view, _ = await agent.backup(running, more, time_ns=clock.time_ns)
    assert (await merging)["views"] == 5
    await store.collector.drain()
    assert await restored(store, client, view) == more
    await audit(store)


async def test_a_view_deleted_during_its_merge_ends_the_merge():
    bench, store, keeper, clock, log = await made()
    bench.disk.delay_ms = 1
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    for step in range(3):
        await backup(store, client, agent, {b"%c%d" % (97 + i, step): b"%d" % step for i in range(9)}, clock)
    first = store.views(client.id)[0].view
    clock.time_ns += DAY_NS
    merging = asyncio.create_task(keeper.merge_now())
    await sleep_ms(4)
    await store.delete_view(client.id, first)
    await merging
    await keeper.merge_now()
    await store.collector.drain()
    assert kinds(store, client) == "d"
    await audit(store)


async def test_a_full_disk_refuses_backups_and_goes_on_with_the_rest():
    bench, store, keeper, clock, log = await made(16, urgent_days="1", reserve_percent="10")
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    kept = {b"k": contents(1, 300000)}
    told = None
    views = []
    for day in range(60):
        clock.time_ns = _START + day * DAY_NS
        files = dict(kept)
        files[b"d"] = contents(500 + day, 700000)
        try:
            views.append((await backup(store, client, agent, files, clock), files))
        except Refusal as error:
            told = error
            break
    assert told is not None and told.name == "FULL" and "disk is full" in told.text, "the disk never became full"
    assert store.segments.free_count() >= 1, "the reserve is gone"
    for view, files in views:
        assert await restored(store, client, view) == files
    await refused("FULL", store.begin(client.id)) if store.segments.free_count() <= store.log.reserve else None
    merged = await keeper.relieve()
    assert merged > 0 and any(["space was short" in line for line in log.lines]), log.lines
    view = await backup(store, client, agent, files, clock)
    assert await restored(store, client, view) == files
    assert await restored(store, client, views[-1][0]) == views[-1][1], "the last day was taken away"
    await store.collector.drain()
    await audit(store)


async def test_nothing_left_to_merge_is_said_once():
    _, store, keeper, clock, log = await made(12)
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    for step in range(30):
        try:
            await backup(store, client, agent, {b"d": contents(step, 900000)}, clock)
        except Refusal:
            break
    for _ in range(3):
        await keeper.turn()
    assert len([line for line in log.lines if "nothing left to merge" in line]) == 1, log.lines


async def test_a_full_delta_area_merges_the_oldest_views_at_once():
    _, store, keeper, clock, _ = await made(60, delta_percent="30")
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    base = {b"k": contents(1, 100000)}
    for hour in range(50):
        clock.time_ns = _START + hour * 4 * _HOUR
        files = dict(base)
        files[b"d"] = contents(100 + hour, 400000)
        await backup(store, client, agent, files, clock)
        await keeper.relieve()
        usage = await areas.usage(store, 30)
        assert usage.delta_percent_used() <= 100, usage.counts
    assert kinds(store, client)[0] == "b" and usage.counts[layout.DELTA] > 0
    assert len(store.views(client.id)) < 45
    await store.collector.drain()
    await audit(store)
    rows = (await keeper.status())["areas"]
    assert [row["area"] for row in rows] == ["full", "delta", "merge"]
    assert Store.TABLES == layout.TABLES


async def test_segments_change_their_area_with_their_views():
    _, store, keeper, clock, _ = await made(40)
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    for day in range(6):
        clock.time_ns = _START + day * DAY_NS
        await backup(store, client, agent, {b"f%d" % i: contents(i + 10 * (i < day), 300000) for i in range(6)}, clock)
    before = (await areas.usage(store, 50)).counts
    clock.time_ns = _START + 60 * DAY_NS
    await backup(store, client, agent, {b"z": b"now"}, clock)
    await keeper.turn()
    after = (await areas.usage(store, 50)).counts
    assert kinds(store, client)[0] == "b" and before[layout.DELTA] > 1
    assert after[layout.DELTA] <= 1 and after[layout.FULL] >= before[layout.FULL], (before, after)
