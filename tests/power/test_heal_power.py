"""The power cut at every write, flush and commit while damage is scrubbed and healed, beside backups and deletions.

After each cut: every acknowledged view comes back exactly, but for files in packs that are damaged and not healed; what was healed stays
healed; the catalog agrees with the views. Then the rest is healed, and everything is whole.

BOBBIN_SEED repeats a failing seed; BOBBIN_CUTS sets how many cut states are checked.
"""

import asyncio
import os

import pytest

from firmware.formats import catalog as layout
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import backup as backup_module
from firmware.store import segment_writer
from firmware.store.scrub import Scrub
from hal.sim.power import Power
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.fixtures.mending import Quiet, file_refs, mend, spoil
from tests.power import cuts
from tests.power.test_store_power import _PROCESSOR, Machine, Workload

_CUTS = int(os.environ.get("BOBBIN_CUTS", "2400")) // 3
_WORKLOADS = 8
_FATES = 4


def scrub_of(store):
    return Scrub(store, Quiet(), lambda: 1 << 40, lambda: 30)


class Mending(Workload):
    """A workload, then damage, scrub, healing, with backups in between. Events count from the damage on."""

    def __init__(self, seed: int, on_event):
        super().__init__(seed, lambda _: self.mended and on_event(_))
        self.mended = []  # number of packs damaged, once it began

    async def run(self, more) -> None:
        await super().run(lambda: False)
        await self._damage_and_heal()
        while more():
            await self._damage_and_heal()

    async def _damage_and_heal(self) -> None:
        self.power.observer = None
        disk, store = self.machine.disk, self.store
        txn = store.kv.begin()
        keys = [key for key, _ in txn.scan(layout.PACKS, layout.item_key(packs.DATA, 0, 0), layout.item_key(packs.FILES, 0, 0))]
        txn.abort()
        for key in self.rng.sample(keys, min(3, len(keys))):
            spoil(disk, store, *layout.parse_item_key(key))
            self.mended.append(key)
        self.power.observer = self.on_event
        await scrub_of(store).run_pass()
        for client in store.clients():
            await self.backup(client)
            await mend(store, _PROCESSOR, client.id, await held(store, client, self.acknowledged), {})
            await self.delete(client)
            await store.collector.drain()


async def held(store, client, acknowledged: dict) -> dict:
    """{file object: contents} of all views of a client, as a PC that still has every file."""
    found = {}
    for (uuid, view), files in acknowledged.items():
        if uuid == client.uuid:
            refs = await file_refs(store, _PROCESSOR, client, view)
            found.update({ref: files[name] for name, ref in refs.items()})
    return found


async def give_up(store, client) -> None:
    """The model agent does not hold what a cut backup sent."""
    try:
        await (await store.begin(client.id)).abandon()
    except Refusal as error:
        assert error.name == "FULL"


async def check_state(image, storage, acknowledged: dict, doubtful: dict) -> None:
    machine = Machine(image, storage, Power())
    store = await machine.open()
    for client in store.clients():
        await give_up(store, client)
    await store.collector.drain()
    await audit(store)
    scrub = scrub_of(store)
    await scrub.run_pass()
    first = scrub.damage.count()
    for client in store.clients():
        await mend(store, _PROCESSOR, client.id, await held(store, client, acknowledged), {})
    again = scrub_of(store)
    await again.run_pass()
    assert again.damage.count() <= first
    needed = again.damage.count()
    await store.collector.drain()
    await audit(store)
    for client in store.clients():
        for row in store.views(client.id):
            files = acknowledged.get((client.uuid, row.view))
            if files is not None and not needed:
                got = await model.restore(store.reader(client.uuid), _PROCESSOR, row.root_group, row.root_index)
                assert got == files, "view %d differs" % row.view
    if not doubtful:
        assert needed == 0, "something that a client holds was not healed"


async def run_workload(seed: int, wanted: int) -> int:
    """Cut states checked."""
    chosen = await cuts.sample(Mending, seed, wanted, _FATES)
    for state in chosen:
        await check_state(*state)
    return len(chosen)


@pytest.mark.parametrize("number", range(_WORKLOADS))
def test_power_cut_while_damage_is_healed(number, monkeypatch):
    monkeypatch.setattr(segment_writer, "_BUFFER_BYTES", 8192)
    monkeypatch.setattr(backup_module, "_CHECKPOINT_ROWS", 24)
    checked = asyncio.run(run_workload(cuts.seed(), _CUTS // _WORKLOADS))
    print("%d cut states" % checked)
    assert checked == _CUTS // _WORKLOADS
