"""What is freed while somebody comes to refer to it: either it is kept, or the reference is refused. Runs on both interpreters."""

from firmware.formats import dtf, fileobject, limits
from firmware.formats import pack as packs
from firmware.store import runs
from hal.errors import NoSpace
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.unit.test_store import _PROCESSOR, Bench, contents, refused, restored

_DATA = b"x" * 3000


async def _pack(backup, kind: int, items: list) -> None:
    body = model.make_pack(_PROCESSOR, kind, backup.group, backup.next[kind], items)
    await backup.add_pack(memoryview(bytearray(body)))


def _object(group: int, first: int, data: bytes = _DATA, flags: int = 0) -> bytes:
    chunks = model.cut(data)
    size = limits.chunk_size(len(data))
    return fileobject.FILE.pack(len(data), size, flags, 0, 0, 0, model.signature(_PROCESSOR, chunks), [(group, first, 1)])


async def _opened():
    bench = Bench()
    store = await bench.start()
    return bench, store, await store.add_client("anna")


async def test_items_of_an_abandoned_backup_cannot_be_referred_to():
    """Its group frees them whatever their count: a view that had one would lose it."""
    _, store, client = await _opened()
    backup = await store.begin(client.id)
    await _pack(backup, packs.DATA, [_DATA])
    await _pack(backup, packs.FILES, [_object(backup.group, 0)])
    await _pack(backup, packs.NODES, [model.make_node([(b"f", 3000, (dtf.FILE, backup.group, 0))])])
    await backup.sync()
    gone = backup.group
    await backup.abandon()
    backup = await store.begin(client.id)
    for ref in ((dtf.FILE, gone, 0), (dtf.NODE_REF, gone, 0)):
        await refused("NOT_FOUND", _pack(backup, packs.NODES, [model.make_node([(b"f", 3000, ref)])]))
    await refused("NOT_FOUND", _pack(backup, packs.FILES, [_object(gone, 0)]))
    await refused("NOT_FOUND", backup.commit(gone, 0, 0, 1, 1))
    sink = model.Sink(_PROCESSOR)
    assert await store.reader(client.uuid).items(packs.NODES, [(gone, 0, 1, 0, 0)], sink) == 1
    await backup.abandon()
    await store.collector.drain()
    await audit(store)


async def test_an_item_that_the_collector_has_chosen_is_kept_for_who_refers_to_it():
    """A view goes; between the collector's choice and its transaction the running backup refers to the file."""
    bench, store, client = await _opened()
    files = {b"file": contents(1, 50000)}
    agent = model.ModelAgent(_PROCESSOR)
    old, _ = await agent.backup(await store.begin(client.id), files)
    await store.collector.drain()
    _, (group, index) = agent.held[b"file"]
    backup = await store.begin(client.id)
    await store.delete_view(client.id, old)
    choose = store.collector._items
    referred = []

    async def interrupted(keys: list) -> list:
        work = await choose(keys)
        if not referred and any([key[0] == packs.FILES for key in keys]):
            referred.append(True)
            await _pack(backup, packs.NODES, [model.make_node([(b"file", 50000, (dtf.FILE, group, index))])])
            await _pack(backup, packs.NODES, [model.make_node([(b"f", 0, (dtf.NODE_REF, backup.group, 0))])])
        return work

    store.collector._items = interrupted
    await store.collector.drain()
    assert referred
    view, _ = await backup.commit(backup.group, 1, 0, 1, 50000)
    await store.collector.drain()
    assert await restored(store, client, view) == files
    await audit(store)
    store = await bench.reopen()
    assert await restored(store, client, view) == files


async def test_chunks_that_are_swept_before_the_checkpoint():
    """Nothing holds chunks that nothing needs: a file object that names them is refused, the store stays as it was."""
    _, store, client = await _opened()
    backup = await store.begin(client.id)
    await _pack(backup, packs.DATA, [_DATA])
    await _pack(backup, packs.NODES, [model.make_node([])])
    swept = backup.group
    await backup.commit(swept, 0, 0, 0, 0)
    backup = await store.begin(client.id)
    await _pack(backup, packs.FILES, [_object(swept, 0)])
    await store.collector.drain()
    await refused("NOT_FOUND", backup.sync())
    await backup.leave()
    await store.collector.drain()
    await (await store.begin(client.id)).abandon()
    await store.collector.drain()
    await audit(store)


async def test_leaving_keeps_what_arrived_and_only_whole_packs():
    """Of a pack that is refused in its middle nothing is counted; what came before it, and no checkpoint, is forgotten with it."""
    bench, store, client = await _opened()
    backup = await store.begin(client.id)
    group = backup.group
    await _pack(backup, packs.DATA, [_DATA])
    await _pack(backup, packs.FILES, [_object(group, 0)])
    await backup.leave()
    await backup.leave()
    await refused("PROTOCOL", _pack(backup, packs.DATA, [_DATA]))
    store = await bench.reopen()
    backup = await store.begin(client.id)
    assert backup.group == group and backup.next == [1, 1, 0]
    await _pack(backup, packs.DATA, [_DATA])
    await refused("NOT_FOUND", _pack(backup, packs.FILES, [_object(group, 1), _object(group, 7)]))
    await backup.leave()
    backup = await store.begin(client.id)
    assert backup.next == [1, 1, 0]
    await _pack(backup, packs.NODES, [model.make_node([(b"f", 3000, (dtf.FILE, group, 0))])])
    view, _ = await backup.commit(group, 0, 0, 1, 3000)
    await store.collector.drain()
    assert await restored(store, client, view) == {b"f": _DATA}
    await audit(store)


async def test_a_checkpoint_that_fails_ends_the_backup():
    """The next indexes would be wrong: the agent begins again where the last checkpoint was."""
    _, store, client = await _opened()
    backup = await store.begin(client.id)
    await _pack(backup, packs.DATA, [_DATA])
    flush = store.log.flush

    async def full():
        raise NoSpace("no room")

    store.log.flush = full
    await refused("FULL", backup.sync())
    store.log.flush = flush
    for attempt in (_pack(backup, packs.DATA, [_DATA]), backup.sync(), backup.commit(backup.group, 0, 0, 0, 0)):
        await refused("PROTOCOL", attempt)
    await backup.leave()
    backup = await store.begin(client.id)
    assert backup.next == [0, 0, 0]
    await backup.abandon()
    await store.collector.drain()
    await audit(store)


async def test_one_crc_for_thousands_of_objects_costs_a_look_at_few():
    """Anybody can file any number of objects under any CRC; the honest one is found while those are not committed."""
    _, store, client = await _opened()
    eve = await store.add_client("eve")
    crc = model.crc_of(b"big", 50000)
    hostile = await store.begin(eve.id)
    await _pack(hostile, packs.DATA, [_DATA])
    row = list(fileobject.FILE.unpack(_object(hostile.group, 0)))
    row[3] = crc
    for _ in range(8):
        await _pack(hostile, packs.FILES, [fileobject.FILE.pack(*row)] * 500)
    await hostile.sync()
    seen = []
    backup = await store.begin(client.id)
    state = backup.proofs._state
    backup.proofs._state = lambda catalog, group: seen.append(group) or state(catalog, group)
    await backup.nominate(crc.to_bytes(4, "little") * 3)
    assert 0 < len(seen) < 200, len(seen)


async def test_covered_by_runs_in_any_order():
    """Against a set of chunks, over small cases."""
    state = 1
    for _ in range(300):
        cases = []
        for count in (3, 4):
            case = []
            for _ in range(count):
                state = state * 1103515245 + 12345 & 0x7FFFFFFF
                case.append((1 + (state >> 8) % 2, (state >> 12) % 8, 1 + (state >> 18) % 5))
            cases.append(case)
        wanted, by = cases
        held = {(group, at) for group, first, count in by for at in range(first, first + count)}
        expected = all([(group, at) in held for group, first, count in wanted for at in range(first, first + count)])
        assert runs.covered(wanted, by) == expected, (wanted, by)
        assert runs.covered([], by) and not runs.covered(wanted, [])
