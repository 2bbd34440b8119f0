"""firmware.store.rfe: what a batch of proofs costs, what is told to whom, and objects that are cut irregularly."""

import struct

from firmware.formats import fileobject, limits, message
from firmware.formats import pack as packs
from firmware.store import rfe_budget
from hal.linux.rwp import NativeProcessor
from tests.fixtures import model
from tests.unit.test_store import Bench, contents, restored

_PROCESSOR = NativeProcessor()


async def _two():
    """(bench, store, anna, bert)."""
    bench = Bench()
    store = await bench.start()
    return bench, store, await store.add_client("anna"), await store.add_client("bert")


def _counted(store) -> list:
    """Places of packs that are read from the disk from now on."""
    seen = []
    stored = store.packs.stored

    async def counting(row, buffers=None):
        seen.append((row.segment, row.offset))
        return await stored(row, buffers)

    store.packs.stored = counting
    return seen


async def test_each_pack_is_read_once_for_all_files_in_it():
    bench, store, anna, bert = await _two()
    files = {b"f%02d" % i: contents(i, 3000 + 700 * i) for i in range(40)}
    await model.ModelAgent(_PROCESSOR).backup(await store.begin(anna.id), files, per_pack=8)
    store = await bench.reopen()
    await store.collector.drain()
    seen = _counted(store)
    backup = await store.begin(bert.id)
    granted = await model.prove(_PROCESSOR, backup, files)
    assert sorted(granted) == sorted(files)
    assert len(seen) == len(set(seen)) <= 12, "5 packs of chunks, 5 of file objects and what they share"
    view, stored = await model.ModelAgent(_PROCESSOR).backup(backup, files, granted=granted)
    assert stored < 4000
    assert await restored(store, bert, view) == files


async def test_one_damaged_pack_costs_its_own_files_only():
    bench, store, anna, bert = await _two()
    files = {b"f%02d" % i: contents(i, 20000) for i in range(12)}
    await model.ModelAgent(_PROCESSOR).backup(await store.begin(anna.id), files, per_pack=4)
    store = await bench.reopen()
    stored = store.packs.stored
    bad = []

    async def failing(row, buffers=None):
        body = await stored(row, buffers)
        if body[0] == packs.DATA and not bad:
            bad.append(row.offset)
        return body if row.offset not in bad else memoryview(bytes(len(body)))

    store.packs.stored = failing
    backup = await store.begin(bert.id)
    assert len(await model.prove(_PROCESSOR, backup, files)) == 8


async def _irregular(store, client, name: bytes, told: bytes, held: bytes):
    """A committed view of one file object of odd chunks of `held` that says it is `told`."""
    backup = await store.begin(client.id)
    chunks = [held[:10]] + [held[at : at + 8192] for at in range(10, len(held), 8192)]
    signature = model.signature(_PROCESSOR, model.cut(told))
    runs = [(backup.group, 0, len(chunks))]
    body = fileobject.FILE.pack(len(told), 8192, fileobject.IRREGULAR, model.crc_of(name, len(told)), 0, 0, signature, runs)
    node = model.make_node([(name, len(told), (1, backup.group, 0))])
    for kind, items in ((packs.DATA, chunks), (packs.FILES, [body]), (packs.NODES, [node])):
        await backup.add_pack(memoryview(bytearray(model.make_pack(_PROCESSOR, kind, backup.group, 0, items))))
    await backup.commit(backup.group, 0, 0, 1, len(told))


async def test_an_irregular_object_is_read_whole_once():
    bench, store, anna, bert = await _two()
    data = contents(5, 100000)
    await _irregular(store, anna, b"mail", data, data)
    store = await bench.reopen()
    await store.collector.drain()
    seen = _counted(store)
    backup = await store.begin(bert.id)
    assert list(await model.prove(_PROCESSOR, backup, {b"mail": data})) == [b"mail"]
    await backup.sync()
    first = len(seen)
    assert list(await model.prove(_PROCESSOR, backup, {b"mail": data})) == [b"mail"]
    assert len(seen) < 2 * first, "its signature was checked again"


async def test_an_irregular_object_that_lies_is_given_to_nobody():
    bench, store, anna, bert = await _two()
    data = contents(5, 100000)
    for name, poison in ((b"one", data[:-1] + b"x"), (b"two", data[:50000] + b"y" + data[50001:]), (b"three", data + b"z")):
        await _irregular(store, anna, name, data, poison)
        backup = await store.begin(bert.id)
        for _ in range(10):
            assert await model.prove(_PROCESSOR, backup, {name: data}) == {}
        await backup.leave()


async def test_unproven_answers_end_and_own_files_are_always_named():
    _, store, anna, bert = await _two()
    files = {b"f": contents(1, 5000)}
    agent = model.ModelAgent(_PROCESSOR)
    await agent.backup(await store.begin(anna.id), files)
    await store.collector.drain()
    crcs = struct.pack("<I", model.crc_of(b"f", 5000)) * limits.RFE_ROWS
    told = []
    for client in (bert, anna):
        backup = await store.begin(client.id)
        told.append([])
        for _ in range(rfe_budget.UNPROVEN // limits.RFE_ROWS + 2):
            _, _, nominees = await backup.nominate(crcs)
            told[-1].append(len(nominees) // message.NOMINEE.size)
        await backup.leave()
    assert sum(told[0]) == rfe_budget.UNPROVEN and told[0][-1] == 0
    assert told[1] == [limits.RFE_ROWS] * len(told[1])
    again = await store.begin(bert.id)
    assert await model.prove(_PROCESSOR, again, files) == {}, "a new session changes nothing"
