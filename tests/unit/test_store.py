"""The store on a simulated disk: backups, views, redundant files, deletion, damage, a full disk. Runs on both interpreters."""

import asyncio
import os

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import fileobject
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import segment_writer
from firmware.store.store import Store
from hal.linux.rwp import NativeProcessor
from hal.loop import sleep_ms
from hal.native import aligned
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from tests.fixtures import model
from tests.fixtures.audit import audit

_PROCESSOR = NativeProcessor()
_SEGMENT = 1 << 20


class FixedClock:
    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000


class Bench:
    """A formatted store of `segments` small segments; `reopen` closes and opens it."""

    def __init__(self, segments: int = 24):
        self.disk = SimDisk(2 * _SEGMENT + segments * _SEGMENT)
        self.storage = SimKvStorage()
        self.store = None

    def kv(self):
        return SimKv(self.storage, Store.TABLES, Store.DUPLICATES)

    async def start(self):
        await Store.format(self.disk, self.kv(), _PROCESSOR, b"u" * 16, 1, _SEGMENT)
        return await self.reopen()

    async def reopen(self):
        if self.store is not None:
            await self.store.close()
        self.store = await Store.open(self.disk, self.kv(), _PROCESSOR, FixedClock())
        return self.store


def contents(seed: int, size: int) -> bytes:
    """Pseudo-random bytes that zstd cannot shrink much."""
    block = _PROCESSOR.blake2b(b"%d" % seed, digest_bytes=64)
    return b"".join([_PROCESSOR.blake2b(block + b"%d" % i, digest_bytes=64) for i in range((size + 63) // 64)])[:size]


async def restored(store, client, view: int) -> dict:
    for row in store.views(client.id):
        if row.view == view:
            return await model.restore(store.reader(client.uuid), _PROCESSOR, row.root_group, row.root_index)
    raise AssertionError("view %d is not listed" % view)


async def refused(name: str, awaitable) -> None:
    try:
        await awaitable
    except Refusal as error:
        assert error.name == name, "expected %s, got %s: %s" % (name, error.name, error.text)
        return
    raise AssertionError("expected the refusal " + name)


async def test_two_views_come_back_exactly():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    first = {b"a1": contents(1, 100000), b"b1": b"hello", b"b2": contents(2, 40000)}
    second = dict(first)
    second[b"b1"] = b"changed"
    second[b"c"] = contents(3, 5000)
    del second[b"b2"]
    one, _ = await agent.backup(await store.begin(client.id), first)
    two, stored = await agent.backup(await store.begin(client.id), second)
    assert stored < 12000, "an unchanged file cost space"
    store = await bench.reopen()
    await store.collector.drain()
    assert await restored(store, client, one) == first
    assert await restored(store, client, two) == second


async def test_nothing_is_listed_before_commit_and_a_cut_backup_goes_on():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    backup = await store.begin(client.id)
    body = model.make_pack(_PROCESSOR, packs.DATA, backup.group, 0, [b"x" * 1000])
    await backup.add_pack(memoryview(bytearray(body)))
    await backup.sync()
    await refused("BUSY", store.begin(client.id))
    store = await bench.reopen()
    assert store.views(client.id) == []
    again = await store.begin(client.id)
    assert again.group == backup.group and again.next == [1, 0, 0]


async def test_another_client_proves_and_sends_nothing():
    bench = Bench()
    store = await bench.start()
    anna = await store.add_client("anna")
    bert = await store.add_client("bert")
    files = {b"big": contents(7, 300000), b"small": b"tiny"}
    await model.ModelAgent(_PROCESSOR).backup(await store.begin(anna.id), files)
    await store.collector.drain()
    backup = await store.begin(bert.id)
    assert await model.prove(_PROCESSOR, backup, {b"big": files[b"big"], b"other": b"x"}, lambda name, digest: bytes(16)) == {}
    granted = await model.prove(_PROCESSOR, backup, {b"big": files[b"big"], b"other": b"x"})
    assert list(granted) == [b"big"]
    before = store.usage()["live_bytes"]
    view, _ = await model.ModelAgent(_PROCESSOR).backup(backup, files, granted=granted)
    assert store.usage()["live_bytes"] - before < 2000
    assert await restored(store, bert, view) == files
    await store.remove_client(anna.id)
    await store.collector.drain()
    store = await bench.reopen()
    assert await restored(store, bert, view) == files, "the other client's going took the shared file along"


async def test_a_client_cannot_refer_to_or_read_what_is_not_its_own():
    bench = Bench()
    store = await bench.start()
    anna = await store.add_client("anna")
    eve = await store.add_client("eve")
    agent = model.ModelAgent(_PROCESSOR)
    await agent.backup(await store.begin(anna.id), {b"secret": contents(1, 9000)})
    root = store.views(anna.id)[0]
    sink = model.Sink(_PROCESSOR)
    for uuid in (eve.uuid, bytes(16)):
        reader = store.reader(uuid)
        refs = [(root.root_group, root.root_index), (root.root_group, 0), (root.root_group + 1, 0), (root.root_group, 0)]
        assert await reader.items(packs.NODES, model.stretches(refs), sink) == len(refs)
        assert await reader.items(packs.FILES, model.stretches([(root.root_group, 0)]), sink) == 1
        for file in ((0, 0), (root.root_group, 0), (root.root_group + 1, 0)):
            assert await reader.items(packs.DATA, [(root.root_group, 0, 1) + file], sink) == 1
        assert reader.owned([root.root_group, root.root_group + 1, 0]) == [False, False, False]
    assert sink.items == []
    backup = await store.begin(eve.id)
    node = model.make_node([(b"stolen", 9000, (1, root.root_group, 0))])
    body = model.make_pack(_PROCESSOR, packs.NODES, backup.group, 0, [node])
    await refused("NOT_FOUND", backup.add_pack(memoryview(bytearray(body))))
    await refused("NOT_FOUND", backup.commit(root.root_group, root.root_index, 0, 1, 1))


async def test_wrong_hash_order_and_signature_are_refused():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    backup = await store.begin(client.id)
    good = bytearray(model.make_pack(_PROCESSOR, packs.DATA, backup.group, 0, [b"x" * 1000, b"y" * 10]))
    bad = bytearray(good)
    bad[packs.HEADER.size + 8] ^= 1
    await refused("CORRUPT", backup.add_pack(memoryview(bad)))
    await refused("CORRUPT", backup.add_pack(memoryview(bytearray(good[:-1]))))
    late = bytearray(model.make_pack(_PROCESSOR, packs.DATA, backup.group, 5, [b"x"]))
    await refused("PROTOCOL", backup.add_pack(memoryview(late)))
    await backup.add_pack(memoryview(good))
    lie = fileobject.FILE.pack(1000, 1 << 15, 0, 0, 0, 0, bytes(32), [(backup.group, 0, 1)])
    await refused(
        "CORRUPT", backup.add_pack(memoryview(bytearray(model.make_pack(_PROCESSOR, packs.FILES, backup.group, 0, [lie]))))
    )
    size = fileobject.FILE.pack(999, 1 << 15, 0, 0, 0, 0, bytes(32), [(backup.group, 0, 1)])
    await refused(
        "PROTOCOL", backup.add_pack(memoryview(bytearray(model.make_pack(_PROCESSOR, packs.FILES, backup.group, 0, [size]))))
    )


async def test_deleted_views_give_all_space_back():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    views = []
    for step in range(5):
        files = {b"f%d" % i: contents(i * 100 + (step if i < 3 else 0), 120000) for i in range(8)}
        views.append((await agent.backup(await store.begin(client.id), files))[0])
    kept = dict(files)
    for view in views[:-1]:
        await store.delete_view(client.id, view)
    await store.collector.drain()
    assert await restored(store, client, views[-1]) == kept
    await store.remove_client(client.id)
    await store.collector.drain()
    usage = store.usage()
    assert usage["live_bytes"] == store.record_bytes(disk_format.ROSTER_BODY.size + 4), usage  # no client is left
    check_empty(store)


def check_empty(store) -> None:
    txn = store.kv.begin()
    for table in (layout.REFS, layout.PACKS, layout.GROUPS, layout.RFE, layout.GRANTS, layout.GARBAGE, layout.VIEWS):
        left = [key for key, _ in txn.scan(table)]
        assert left == [], "%s keeps %d rows" % (table, len(left))
    txn.abort()


async def test_full_disk_refuses_and_stays_usable():
    bench = Bench(10)
    store = await bench.start()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    small = {b"keep": contents(1, 200000)}
    view, _ = await agent.backup(await store.begin(client.id), small)
    huge = {b"h%02d" % i: contents(50 + i, 500000) for i in range(30)}
    await refused("FULL", agent.backup(await store.begin(client.id), huge))
    await store.collector.drain()
    assert await restored(store, client, view) == small
    later, _ = await agent.backup(await store.begin(client.id), {b"keep": small[b"keep"], b"z": b"fits"})
    assert (await restored(store, client, later))[b"z"] == b"fits"


async def test_damage_on_the_disk_loses_the_file_hit_and_no_other():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    files = {b"a%d" % i: contents(i, 150000) for i in range(6)}
    view, _ = await model.ModelAgent(_PROCESSOR).backup(await store.begin(client.id), files, per_pack=1)
    found = store.find_pack(packs.DATA, 1, 0)[1]
    bench.disk.poke(2**20 + found.segment * _SEGMENT + found.offset + 3000, b"\x55\xaa")
    left = await restored(store, client, view)
    assert len(left) == 5 and all([left[name] == files[name] for name in left])


async def test_snapshot_keeps_its_segments_while_views_go():
    bench = Bench(12)
    store = await bench.start()
    client = await store.add_client("anna")
    agent = model.ModelAgent(_PROCESSOR)
    files = {b"a%d" % i: contents(i, 300000) for i in range(8)}
    view, _ = await agent.backup(await store.begin(client.id), files)
    snapshot = store.snapshot()
    rows = list(snapshot.dump())
    await store.delete_view(client.id, view)
    await store.collector.drain()
    agent.held = {}
    await agent.backup(await store.begin(client.id), {b"n": contents(99, 300000)})
    assert list(snapshot.dump()) == rows
    held = {}
    for number, used in snapshot.segments:
        buffer = aligned(_SEGMENT)
        await snapshot.read(number, 0, buffer)
        held[number] = buffer
    packs_seen = [(key, value) for table, key, value in rows if table == layout.PACKS]
    for key, value in packs_seen:
        row = layout.PACK.unpack(value)
        body = held[row.segment][row.offset : row.offset + disk_format.RECORD.size + row.length]
        head = disk_format.RECORD.unpack_from(body)[0]
        assert head.crc == _PROCESSOR.crc32c(
            body[disk_format.RECORD.size :], _PROCESSOR.crc32c(body[: disk_format.RECORD.size - 4])
        )
    free = store.segments.free_count()
    snapshot.release()
    assert store.segments.free_count() > free


async def test_random_bytes_never_pass():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    backup = await store.begin(client.id)
    for length in (0, 1, 19, 20, 60, 61, 500, 70000):
        try:
            await backup.add_pack(memoryview(bytearray(os.urandom(length))))
        except Refusal as error:
            assert error.name in ("CORRUPT", "PROTOCOL")
        else:
            raise AssertionError("%d random bytes were taken" % length)


async def test_sessions_cancelled_while_they_write_harm_nobody():
    kept = segment_writer._BUFFER_BYTES
    segment_writer._BUFFER_BYTES = 16384
    try:
        await _cancel_writers()
    finally:
        segment_writer._BUFFER_BYTES = kept


async def _cancel_writers() -> None:
    bench = Bench(40)
    store = await bench.start()
    clients = (await store.add_client("anna"), await store.add_client("bert"))
    bench.disk.delay_ms = 1
    files = {b"f%d" % i: contents(i, 150000) for i in range(6)}
    view = None
    for turn in range(12):
        steady = asyncio.create_task(model.ModelAgent(_PROCESSOR).backup(await store.begin(clients[0].id), files))
        backup = await store.begin(clients[1].id)
        victim = asyncio.create_task(model.ModelAgent(_PROCESSOR).backup(backup, {b"v": contents(100 + turn, 400000)}))
        await sleep_ms(1 + 3 * turn)
        victim.cancel()
        try:
            await victim
        except asyncio.CancelledError:
            await backup.leave()
        if view is not None:
            await store.delete_view(clients[0].id, view)
        view, _ = await steady
        assert await restored(store, clients[0], view) == files
    await store.collector.drain()
    await audit(store)
    store = await bench.reopen()
    await store.collector.drain()
    assert await restored(store, clients[0], view) == files
    await audit(store)
