"""Scrub of a store on a simulated disk: damage is found, noted, named; position, rate, making room. Runs on both interpreters."""

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.store import scrub as scrub_module
from firmware.store import segment_writer
from firmware.store.scrub import Scrub
from firmware.store.scrub_names import Names
from tests.fixtures import model
from tests.fixtures.mending import file_refs, runs_of, spoil
from tests.unit.test_store import _PROCESSOR, Bench, contents
from tests.unit.test_store_rebuild import busy, checked

segment_writer._BUFFER_BYTES = 1 << 16


class Lines:
    def __init__(self):
        self.lines = []

    def info(self, source: str, text: str) -> None:
        self.lines.append(text)

    warning = info


def make(store):
    return Scrub(store, Lines(), lambda: 1 << 40, lambda: 30)


async def test_a_sound_store_is_sound():
    bench = Bench(segments=40)
    store, _ = await busy(bench)
    scrub = make(store)
    await scrub.run_pass()
    assert scrub.damage.count() == 0 and scrub.state.found == 0
    assert scrub.state.bytes == sum([layout.PACK.unpack(value).length for _, value in store.kv.begin().scan(layout.PACKS)])
    assert not scrub.running() and scrub.state.ended_ns and not scrub._due()


async def test_damage_is_noted_and_named_with_its_views():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    file = (await file_refs(store, _PROCESSOR, left[0][0], left[0][1]))[b"a8"]
    index = (await runs_of(store, file))[0][1]
    spoil(bench.disk, store, packs.DATA, file[0], index)
    page = spoil(bench.disk, store, packs.FILES, 2, 0)
    address = (1 << 20) + page.segment * store.superblock.segment_bytes + page.offset
    bench.disk.bad_reads.add(address // 4096)
    scrub = make(store)
    await scrub.run_pass()
    causes = [(key[0], fault.cause) for key, fault, _ in scrub.damage.rows()]
    assert (packs.DATA, layout.CHECKSUM) in causes and (packs.FILES, layout.UNREADABLE) in causes
    count = len(causes)  # neighbours share the sector
    report = await Names(store, scrub.damage).run()
    hit = {(row["client"], row["path"]): (row["first_view"], row["last_view"], row["views"]) for row in report["files"]}
    assert hit[("anna", "/a/a8")] == (3, 6, 3), hit
    assert not report["more"] and report["packs"] == count
    assert "damage" in await checked(store)
    assert scrub.status()["damaged_packs"] == count
    await scrub.run_pass()
    assert scrub.damage.count() == count and scrub.state.found == count
    assert len([line for line in scrub._log.lines if "store damage" in line]) == count, "each is reported once"


async def test_damage_that_nothing_needs_any_more_is_forgotten():
    bench = Bench(segments=40)
    store, left = await busy(bench)
    spoil(bench.disk, store, packs.DATA, 7, 0)
    scrub = make(store)
    await scrub.run_pass()
    assert scrub.damage.count() == 1
    await store.delete_view(left[3][0].id, left[3][1])
    await store.collector.drain()
    assert scrub.damage.count() == 0 and "damage" not in await checked(store)
    await scrub.run_pass()
    assert list(store.kv.begin().scan(layout.DAMAGE)) == []


async def test_a_pass_goes_on_where_it_was():
    bench = Bench(segments=40)
    store, _ = await busy(bench)
    scrub_module._SAVE_PACKS = 1
    scrub = make(store)
    seen = []
    check = scrub.check

    async def counted(key):
        seen.append(key)
        if len(seen) == 5:
            raise KeyboardInterrupt()
        return await check(key)

    scrub.check = counted
    try:
        await scrub.run_pass()
        raise AssertionError("not cut")
    except KeyboardInterrupt:
        pass
    scrub_module._SAVE_PACKS = 256
    store = await bench.reopen()
    again = make(store)
    assert again.running() and again._due()
    rest = []
    check_again = again.check

    async def noted(key):
        rest.append(key)
        return await check_again(key)

    again.check = noted
    await again.run_pass()
    assert rest[0] == seen[4], "the pack that was not checked comes first"
    assert again.state.bytes == sum([layout.PACK.unpack(value).length for _, value in store.kv.begin().scan(layout.PACKS)])


async def test_it_makes_room_for_backups_and_restores():
    bench = Bench()
    store = await bench.start()
    client = await store.add_client("anna")
    await model.ModelAgent(_PROCESSOR).backup(await store.begin(client.id), {b"a": contents(1, 50000)})
    scrub = make(store)
    pauses = []

    async def pause(milliseconds: int) -> None:
        pauses.append(milliseconds)

    plain, scrub_module.sleep_ms = scrub_module.sleep_ms, pause
    try:
        await scrub.run_pass()
        assert max(pauses) == 0, pauses
        backup = await store.begin(client.id)
        await scrub.run_pass()
        assert max(pauses) == scrub_module._BUSY_MS
        await backup.leave()
        slow = Scrub(store, Lines(), lambda: 1000, lambda: 0)
        del pauses[:]
        await slow.run_pass()
        assert sum(pauses) * 1000 // 1000 >= slow.state.bytes - 10
        assert not slow._due(), "0 days is never"
    finally:
        scrub_module.sleep_ms = plain
