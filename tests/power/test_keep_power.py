"""As test_store_power.py, with merges, ageing and compaction among the work. A cut leaves the old views or the merged one, and
what an attic holds stays with its view.

BOBBIN_SEED repeats a failing seed; BOBBIN_KEEP_CUTS sets how many cut states are checked.
"""

import asyncio
import os

import pytest

from firmware.formats import catalog as layout
from firmware.formats.refusal import Refusal
from firmware.store import backup as backup_module
from firmware.store import compactor, merge_writer, segment_writer
from hal.sim.power import Power
from tests.fixtures import model, trees
from tests.fixtures.audit import audit
from tests.power import cuts
from tests.power import test_store_power as base

_CUTS = int(os.environ.get("BOBBIN_KEEP_CUTS", "5600"))
_WORKLOADS = 8
_FATES = 4
_NOW = 1 << 40


class Workload(base.Workload):
    """`attics` is {(client uuid, view): {path: contents}}, as `acknowledged` is for the views themselves."""

    def __init__(self, seed: int, on_event):
        super().__init__(seed, on_event)
        self.attics = {}
        self.gone = {}  # being merged away
        self.doubtful_attics = {}

    async def run(self, more) -> None:
        """26 pieces of work, and on while `more()`."""
        await self._start()
        done = 0
        while done < 26 or more():
            done += 1
            client = self.rng.choice(self.clients)
            work = self.rng.choice(
                (self.backup, self.backup, self.backup, self.share, self.delete, self.merge, self.merge, self.age, self.compact)
            )
            await work(client)
            await self.store.collector.drain()

    async def _start(self) -> None:
        store = base.Store
        await store.format(self.machine.disk, self.machine.kv, base._PROCESSOR, b"u" * 16, 1, base._SEGMENT)
        self.store = await self.machine.open()
        self.power.observer = self.on_event
        self.clients = [await self.store.add_client("client%d" % i) for i in range(3)]
        self.agents = {client.id: model.ModelAgent(base._PROCESSOR) for client in self.clients}
        self.files = {client.id: {} for client in self.clients}

    async def delete(self, client) -> None:
        mine = sorted(key for key in self.acknowledged if key[0] == client.uuid)
        if len(mine) >= 2:
            self.doubtful_attics = {mine[0]: self.attics.pop(mine[0], {})}
        await super().delete(client)
        self.doubtful_attics = {}

    async def merge(self, client) -> None:
        """Two or three neighbours become one."""
        mine = sorted(key for key in self.acknowledged if key[0] == client.uuid)
        if len(mine) < 2:
            return
        at = self.rng.randrange(len(mine) - 1)
        chosen = mine[at : at + self.rng.randrange(2, 4)]
        attic = {}
        for older, newer in zip(chosen, chosen[1:], strict=False):
            attic.update(self.attics.get(older, {}))
            attic.update(_flat(self.acknowledged[older]))
            here = _flat(self.acknowledged[newer])
            attic = {path: data for path, data in attic.items() if path not in here}
            attic.update(self.attics.get(newer, {}))
        for key in chosen[:-1]:
            self.gone[key] = self.acknowledged.pop(key)
        self.doubtful_attics = {key: self.attics.pop(key, {}) for key in chosen}
        self.merged = (chosen[-1], attic)
        numbers = [key[1] for key in chosen]
        try:
            await self.store.merger.fold(client.id, numbers, layout.DAILY, _NOW, 0)
        except Refusal as error:
            assert error.name == "FULL", error.text
            self.acknowledged.update(self.gone)
            self.attics.update(self.doubtful_attics)
        else:
            self.attics[chosen[-1]] = attic
        self.gone, self.merged, self.doubtful_attics = {}, None, {}

    async def age(self, client) -> None:
        """Everything in an attic is too old."""
        mine = [key for key in sorted(self.attics) if key[0] == client.uuid and self.attics[key]]
        if not mine:
            return
        key = self.rng.choice(mine)
        self.doubtful_attics = {key: self.attics.pop(key)}
        self.merged = (key, {})
        try:
            await self.store.merger.fold(client.id, [key[1]], layout.BASELINE, _NOW, _NOW)
        except Refusal as error:
            assert error.name == "FULL", error.text
            self.attics.update(self.doubtful_attics)
        else:
            self.attics[key] = {}
        self.merged, self.doubtful_attics = None, {}

    async def compact(self, client) -> None:
        for _ in range(6):
            if not await self.store.compactor.step(70):
                return
            await self.store.collector.drain()

    merged = None

    def state(self) -> tuple:
        return (
            dict(self.acknowledged),
            dict(self.doubtful),
            dict(self.gone),
            dict(self.attics),
            dict(self.doubtful_attics),
            self.merged,
        )


def _flat(files: dict) -> dict:
    return {(name[:1], name): data for name, data in files.items()}


async def check_state(image, storage, acknowledged, doubtful, gone, attics, doubtful_attics, merged) -> None:
    """Open what survived: all of a merge or nothing."""
    store = await base.Machine(image, storage, Power()).open()
    await store.collector.drain()
    found = {}
    for client in store.clients():
        for row in store.views(client.id):
            found[(client.uuid, row.view)] = (client, row)
    assert set(acknowledged) <= set(found), "an acknowledged view is gone"
    left = set(found) - set(acknowledged) - set(doubtful)
    assert left in (set(), set(gone)), "a merge was done by halves: %s of %s" % (left, set(gone))
    for key, (client, row) in found.items():
        reader = store.reader(client.uuid)
        files = acknowledged.get(key) or doubtful.get(key) or gone[key]
        assert await model.restore(reader, base._PROCESSOR, row.root_group, row.root_index) == files, (
            "view %d differs" % row.view
        )
        attic = {}
        if row.attic_group:
            read = await trees.read(reader, base._PROCESSOR, row.attic_group, row.attic_index)
            attic = {path: value[0] for path, value in read.items()}
        if merged and key == merged[0]:
            done = not left and (gone or attic == merged[1])
            assert attic == (merged[1] if done else doubtful_attics.get(key, {})), "the attic fits neither before nor after"
        else:
            assert attic == attics.get(key, doubtful_attics.get(key, {})), "the attic of view %d differs" % row.view
    await audit(store)


async def run_workload(seed: int, wanted: int) -> int:
    """Cut states checked."""
    chosen = await cuts.sample(Workload, seed, wanted, _FATES)
    for state in chosen:
        await check_state(*state)
    return len(chosen)


@pytest.mark.parametrize("number", range(_WORKLOADS))
def test_power_cut_during_merge_ageing_compaction(number, monkeypatch):
    monkeypatch.setattr(segment_writer, "_BUFFER_BYTES", 8192)
    monkeypatch.setattr(backup_module, "_CHECKPOINT_ROWS", 24)
    monkeypatch.setattr(merge_writer, "_PACK_ITEMS", 2)
    monkeypatch.setattr(merge_writer, "_CHECKPOINT_ROWS", 6)
    monkeypatch.setattr(compactor, "_BATCH_PACKS", 4)
    checked = asyncio.run(run_workload(cuts.seed(), _CUTS // _WORKLOADS))
    print("%d cut states" % checked)
    assert checked == _CUTS // _WORKLOADS
