"""Damaged packs healed from clients that hold the file, on a simulated disk. Runs on both interpreters."""

from firmware.formats import pack as packs
from firmware.store import segment_writer
from firmware.store.heal import Heal
from firmware.store.scrub import Scrub
from tests.fixtures.audit import audit
from tests.fixtures.mending import Quiet, file_refs, mend, runs_of, spoil
from tests.fixtures.rebuilt import assert_same, rebuilt
from tests.unit.test_store import _PROCESSOR, Bench, restored
from tests.unit.test_store_rebuild import busy, checked

segment_writer._BUFFER_BYTES = 1 << 16


async def scrubbed(store) -> int:
    """Damaged packs after a pass."""
    scrub = Scrub(store, Quiet(), lambda: 1 << 40, lambda: 30)
    await scrub.run_pass()
    return scrub.damage.count()


async def holding(store, what) -> dict:
    """{file object: contents} of a view."""
    client, view, files = what
    refs = await file_refs(store, _PROCESSOR, client, view)
    return {ref: files[name] for name, ref in refs.items()}


async def whole(store, left) -> bool:
    try:
        for client, view, files in left:
            if await restored(store, client, view) != files:
                return False
        return True
    except (AssertionError, IndexError):  # a file came in part
        return False


async def start(name: bytes, at: int = -1, last: bool = False):
    """(bench, store, views left, what anna holds) with the pack of the file's first (last) chunk damaged and the scrub done."""
    bench = Bench(segments=40)
    store, left = await busy(bench)
    held = await holding(store, left[2])
    ref = (await file_refs(store, _PROCESSOR, left[2][0], left[2][1]))[name]
    run = (await runs_of(store, ref))[0]
    spoil(bench.disk, store, packs.DATA, run[0], run[1] + run[2] - 1 if last else run[1], at)
    assert await scrubbed(store) == 1
    assert not await whole(store, left)
    return bench, store, left, held


async def sound(bench, store, left) -> None:
    assert await scrubbed(store) == 0
    assert await whole(store, left)
    await store.collector.drain()
    await audit(store)
    assert await checked(store) == {}
    assert_same(bench.storage, await rebuilt(bench.disk, store.superblock, _PROCESSOR))


async def test_a_client_that_holds_the_file_heals_the_pack():
    bench, store, left, held = await start(b"a8")
    assert await mend(store, _PROCESSOR, left[2][0].id, held, {}) == 1
    await sound(bench, store, left)
    await bench.reopen()
    assert await whole(bench.store, left)


async def test_another_client_with_the_same_file_heals_what_it_may_read():
    bench, store, left, _ = await start(b"a5")
    bert = left[3]
    held = await holding(store, bert)
    asked = [row[3:5] for row in await Heal(store, bert[0].id).wanted()]
    assert all([ref in held for ref in asked]), "bert was asked for a file that is not his"
    await mend(store, _PROCESSOR, bert[0].id, held, {})
    carl = await store.add_client("carla")
    assert await Heal(store, carl.id).wanted() == []


async def test_wrong_bytes_heal_nothing():
    bench, store, left, held = await start(b"a8")
    wrong = {ref: bytes(len(contents)) for ref, contents in held.items()}
    assert await mend(store, _PROCESSOR, left[2][0].id, wrong, {}) == 0
    part = {ref: contents[:-1] + b"x" for ref, contents in held.items()}
    await mend(store, _PROCESSOR, left[2][0].id, part, {})
    longer = {ref: contents[:1000] for ref, contents in held.items()}
    assert await mend(store, _PROCESSOR, left[2][0].id, longer, {}) == 0
    assert await scrubbed(store) <= 1
    assert await mend(store, _PROCESSOR, left[2][0].id, held, {}) <= 1
    await sound(bench, store, left)


async def test_a_damaged_table_is_replaced_by_the_files_signature():
    bench, store, left, held = await start(b"a8", 25 + 24 + 44 + 20)  # in the hash of the second item
    assert await mend(store, _PROCESSOR, left[2][0].id, {ref: bytes(len(held[ref])) for ref in held}, {}) == 0
    assert await mend(store, _PROCESSOR, left[2][0].id, held, {}) == 1
    await sound(bench, store, left)


async def test_an_unreadable_table_is_replaced_too():
    bench, store, left, held = await start(b"a8")
    ref = (await file_refs(store, _PROCESSOR, left[2][0], left[2][1]))[b"a8"]
    run = (await runs_of(store, ref))[0]
    row = store.find_pack(packs.DATA, run[0], run[1])[1]
    page = ((1 << 20) + row.segment * store.superblock.segment_bytes + row.offset) // 4096
    bench.disk.bad_reads.add(page)
    found = await scrubbed(store)
    healed = await mend(store, _PROCESSOR, left[2][0].id, held, {})
    assert healed >= 1
    assert await scrubbed(store) == found - healed


async def test_two_clients_make_one_pack_whole():
    bench, store, left, held = await start(b"a5", last=True)
    anna, bert = left[2][0], left[3][0]
    wanted = [row[3:5] for row in await Heal(store, anna.id).wanted()]
    shared = [ref for ref in await holding(store, left[3]) if ref in wanted]
    assert shared and len(set(wanted)) > 1, "the pack holds more than the shared file"
    assert await mend(store, _PROCESSOR, bert.id, await holding(store, left[3]), {}) == 0
    rest = {ref: contents for ref, contents in held.items() if ref not in shared}
    assert await mend(store, _PROCESSOR, anna.id, rest, {}) == 1
    await sound(bench, store, left)


async def test_nodes_come_from_a_cache():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    first, row = store.find_pack(packs.NODES, 6, 0)
    pack = await store.packs.load(row)
    nodes = {(packs.NODES, 6, first + i): bytes(pack.item(i)) for i in range(row.count)}
    spoil(bench.disk, store, packs.NODES, 6, 0, row.length)  # the last bytes: nothing but the table can tell what nodes were
    assert await scrubbed(store) == 1 and "damage" in await checked(store)
    assert await mend(store, _PROCESSOR, left[3][0].id, {}, nodes) == 0, "they are anna's"
    assert await mend(store, _PROCESSOR, left[2][0].id, {}, nodes) == 1
    await sound(bench, store, left)


async def test_what_is_freed_meanwhile_needs_no_healing():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    held = await holding(store, left[3])
    spoil(bench.disk, store, packs.DATA, 7, 0)
    assert await scrubbed(store) == 1
    heal = Heal(store, left[3][0].id)
    assert len(await heal.wanted()) == 7
    await store.delete_view(left[3][0].id, left[3][1])
    await store.collector.drain()
    assert await mend(store, _PROCESSOR, left[3][0].id, held, {}) == 0
    for target in heal._targets:
        target.items = dict.fromkeys(target.needed, b"")
        await heal._replace(target)
    assert heal.healed == 0
    await store.collector.drain()
    await audit(store)
