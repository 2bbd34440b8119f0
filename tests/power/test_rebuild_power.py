"""The catalog rebuilt from what a power cut left, at every event of random workloads; and the power cut again while it is rebuilt.

Every acknowledged view must come back exactly, whether the catalog was lost with the cut or after the store went on. A view whose
COMMIT was durable while its acknowledgement was not out may be listed: what of it was lost is reported lost, never wrong.

BOBBIN_SEED repeats a failing seed; BOBBIN_CUTS sets how many cut states are checked.
"""

import asyncio
import os
import random

import pytest

from firmware.formats import catalog as layout
from firmware.store import backup as backup_module
from firmware.store import rebuild, segment_writer
from hal.errors import CorruptData
from hal.sim.kv import SimKv, SimKvStorage
from hal.sim.power import Power, PowerCut
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.fixtures.rebuilt import assert_same, rebuilt
from tests.power import cuts
from tests.power.test_store_power import _PROCESSOR, Machine, Workload

_CUTS = int(os.environ.get("BOBBIN_CUTS", "2400")) // 3
_WORKLOADS = 8


async def _superblock(image):
    from firmware.store import superblock

    machine = Machine(image, SimKvStorage(), Power())
    return machine.disk, await superblock.read(machine.disk, _PROCESSOR)


async def _cut_while_rebuilding(image, rng) -> None:
    """The catalog being made is none before its last transaction."""
    disk, superblock = await _superblock(image)
    storage = SimKvStorage()
    power = Power(cut_at=1 + rng.randrange(60))
    try:
        kv = SimKv(storage, rebuild.TABLES, layout.DUPLICATES, power)
        await rebuild.Rebuild(disk, superblock, _PROCESSOR, kv).run()
        return
    except PowerCut:
        pass
    storage.tables.pop(rebuild.WORK, None)
    if storage.tables[layout.META].values.get(layout.META_UUID):
        return  # cut behind it
    try:
        await Machine(image, storage, Power()).open()
        raise AssertionError("half a catalog was taken for a whole one")
    except CorruptData:
        pass


async def _lost_with_the_cut(image, acknowledged: dict, doubtful: dict) -> None:
    disk, superblock = await _superblock(image)
    storage = await rebuilt(disk, superblock, _PROCESSOR)
    store = await Machine(image, storage, Power()).open()
    listed = {}
    for client in store.clients():
        for row in store.views(client.id):
            listed[(client.uuid, row.view)] = (client, row)
    assert set(acknowledged) <= set(listed), "an acknowledged view is gone"
    assert set(listed) <= set(acknowledged) | set(doubtful), "a view is listed that nobody acknowledged"
    for key, (client, row) in listed.items():
        if key in acknowledged:
            got = await model.restore(store.reader(client.uuid), _PROCESSOR, row.root_group, row.root_index)
            assert got == acknowledged[key], "view %d differs" % row.view
    if not set(listed) & set(doubtful):
        await store.collector.drain()
        await audit(store)


async def _lost_later(image, storage) -> None:
    """The store was opened again after the cut and wrote something; its backups under way were given up."""
    machine = Machine(image, storage, Power())
    store = await machine.open()
    await store.add_client("later")
    for client in store.clients():
        backup = await store.begin(client.id)
        await backup.abandon()
    await store.collector.drain()
    assert_same(storage, await rebuilt(machine.disk, store.superblock, _PROCESSOR))


async def run_workload(seed: int, wanted: int) -> int:
    """Cut states checked."""
    chosen = await cuts.sample(Workload, seed, wanted, 1)
    rng = random.Random(seed)
    for image, storage, acknowledged, doubtful in chosen:
        await _lost_with_the_cut(image, acknowledged, doubtful)
        await _lost_later(image, storage)
        await _cut_while_rebuilding(image, rng)
    return 3 * len(chosen)


@pytest.mark.parametrize("number", range(_WORKLOADS))
def test_rebuild_after_a_power_cut_at_every_event(number, monkeypatch):
    monkeypatch.setattr(segment_writer, "_BUFFER_BYTES", 8192)
    monkeypatch.setattr(backup_module, "_CHECKPOINT_ROWS", 24)
    checked = asyncio.run(run_workload(cuts.seed(), _CUTS // _WORKLOADS))
    print("%d cut states" % checked)
    assert checked == 3 * (_CUTS // _WORKLOADS)
