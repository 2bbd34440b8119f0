"""Cuts the power at every write, flush and commit of random workloads; unflushed writes are lost, torn or kept at random.

After each cut the store is opened from what survived: every acknowledged view must restore exactly, nothing else may be listed
(but a view whose commit was durable while its acknowledgement was not out yet), and no space may leak.

BOBBIN_SEED repeats a failing seed; BOBBIN_CUTS sets how many cut states are checked.
"""

import asyncio
import os
import random

import pytest

from firmware.formats.refusal import Refusal
from firmware.store import backup as backup_module
from firmware.store import segment_writer
from firmware.store.store import Store
from hal.linux.rwp import NativeProcessor
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from hal.sim.power import Power
from tests.fixtures import model
from tests.fixtures.audit import audit
from tests.power import cuts

_PROCESSOR = NativeProcessor()
_SEGMENT = 1 << 18
_SEGMENTS = 40
_CUTS = int(os.environ.get("BOBBIN_CUTS", "2400"))
_WORKLOADS = 8
_FATES = 3  # random outcomes for each event


class FixedClock:
    def now_ns(self) -> int:
        return 1


class Machine:
    """A store on simulated parts that survive by `image` and `storage`."""

    def __init__(self, image, storage, power):
        self.disk = SimDisk((1 << 20) + _SEGMENTS * _SEGMENT, image, power)
        self.kv = SimKv(storage, Store.TABLES, Store.DUPLICATES, power)

    async def open(self):
        return await Store.open(self.disk, self.kv, _PROCESSOR, FixedClock())


class Workload:
    """Random backups, eliminations, deletions, snapshots by three clients. `acknowledged` is {(client uuid, view): files}."""

    def __init__(self, seed: int, on_event):
        self.rng = random.Random(seed)
        self.acknowledged = {}
        self.doubtful = {}  # being committed or deleted: may or may not be listed
        self.storage = SimKvStorage()
        self.power = Power(observer=None)
        self.machine = Machine(None, self.storage, self.power)
        self.on_event = on_event

    async def run(self, more) -> None:
        """14 pieces of work, and on while `more()`."""
        await Store.format(self.machine.disk, self.machine.kv, _PROCESSOR, b"u" * 16, 1, _SEGMENT)
        self.store = await self.machine.open()
        self.power.observer = self.on_event
        clients = [await self.store.add_client("client%d" % i) for i in range(3)]
        self.agents = {client.id: model.ModelAgent(_PROCESSOR) for client in clients}
        self.files = {client.id: {} for client in clients}
        done = 0
        while done < 14 or more():
            done += 1
            client = self.rng.choice(clients)
            await self.rng.choice(
                (self.backup, self.backup, self.backup, self.cut_backup, self.share, self.delete, self.snapshot)
            )(client)
            await self.store.collector.drain()

    def state(self) -> tuple:
        """What a cut now may leave, for `check_state`."""
        return dict(self.acknowledged), dict(self.doubtful)

    def _edit(self, client) -> dict:
        files = dict(self.files[client.id])
        for _ in range(self.rng.randrange(1, 5)):
            name = b"%c%d" % (self.rng.choice(b"abc"), self.rng.randrange(6))
            if name in files and self.rng.random() < 0.3:
                del files[name]
            else:
                files[name] = self.rng.randbytes(self.rng.choice((0, 10, 3000, 40000, 70000))) or b"-"
        return files or {b"a": b"only"}

    async def backup(self, client, granted=None, files=None, backup=None) -> None:
        files = files or self._edit(client)
        try:
            backup = backup or await self.store.begin(client.id)
            self.doubtful[(client.uuid, self.store.next_view(client.id))] = files
            view, _ = await self.agents[client.id].backup(backup, files, per_pack=2, granted=granted)
        except Refusal as error:
            assert error.name == "FULL", error.text
            self.doubtful = {}
            return
        self.acknowledged[(client.uuid, view)] = files
        self.doubtful = {}
        self.files[client.id] = files

    async def cut_backup(self, client) -> None:
        """A connection that breaks in the middle, with or without a checkpoint."""
        try:
            backup = await self.store.begin(client.id)
            for step in range(self.rng.randrange(1, 4)):
                await self.agents[client.id]._send(backup, {b"x": self.rng.randbytes(30000)}, [b"x"], {})
            if self.rng.random() < 0.5:
                await backup.sync()
            if self.rng.random() < 0.3:
                await backup.abandon()
            else:
                await backup.leave()
        except Refusal as error:
            assert error.name == "FULL", error.text

    async def share(self, client) -> None:
        """A file that another client holds."""
        others = [other for other in self.files if other != client.id and self.files[other]]
        if not others:
            return
        theirs = self.files[self.rng.choice(others)]
        name = self.rng.choice(sorted(theirs))
        contents = theirs[name]
        try:
            backup = await self.store.begin(client.id)
        except Refusal:
            return
        granted = await model.prove(_PROCESSOR, backup, {name: contents})
        files = dict(self.files[client.id])
        files[name] = contents
        self.agents[client.id].held.pop(name, None)
        await self.backup(client, granted, files, backup)

    async def delete(self, client) -> None:
        mine = sorted(key for key in self.acknowledged if key[0] == client.uuid)
        if len(mine) < 2:
            return
        key = mine[0]  # the newest stays: the agent refers to it
        self.doubtful[key] = self.acknowledged.pop(key)
        await self.store.delete_view(client.id, key[1])
        self.doubtful = {}

    async def snapshot(self, client) -> None:
        snapshot = self.store.snapshot()
        await self.backup(client)
        await self.delete(client)
        snapshot.release()


async def check_state(image, storage, acknowledged: dict, doubtful: dict, more: bool) -> None:
    """Open what survived and compare."""
    machine = Machine(image, storage, Power())
    store = await machine.open()
    await store.collector.drain()
    listed = {}
    for client in store.clients():
        for row in store.views(client.id):
            listed[(client.uuid, row.view)] = (client, row)
    assert set(acknowledged) <= set(listed), "an acknowledged view is gone"
    assert set(listed) <= set(acknowledged) | set(doubtful), "a view is listed that nobody acknowledged"
    for key, (client, row) in listed.items():
        files = acknowledged.get(key) or doubtful[key]
        got = await model.restore(store.reader(client.uuid), _PROCESSOR, row.root_group, row.root_index)
        assert got == files, "view %d differs" % row.view
    await audit(store)
    if more:
        await _go_on(store)


async def _go_on(store) -> None:
    """The survivor takes another backup."""
    for client in store.clients():
        files = {b"new": b"after the cut" * 2000}
        try:
            view, _ = await model.ModelAgent(_PROCESSOR).backup(await store.begin(client.id), files)
        except Refusal as error:
            assert error.name == "FULL", error.text
            continue
        row = [row for row in store.views(client.id) if row.view == view][0]
        assert await model.restore(store.reader(client.uuid), _PROCESSOR, row.root_group, row.root_index) == files
    await store.collector.drain()
    await audit(store)


async def run_workload(seed: int, wanted: int) -> int:
    """Cut states checked."""
    chosen = await cuts.sample(Workload, seed, wanted, _FATES)
    for number, state in enumerate(chosen):
        await check_state(*state, more=number % 8 == 0)
    return len(chosen)


@pytest.mark.parametrize("number", range(_WORKLOADS))
def test_power_cut_at_every_event(number, monkeypatch):
    monkeypatch.setattr(segment_writer, "_BUFFER_BYTES", 8192)
    monkeypatch.setattr(backup_module, "_CHECKPOINT_ROWS", 24)
    checked = asyncio.run(run_workload(cuts.seed(), _CUTS // _WORKLOADS))
    print("%d cut states" % checked)
    assert checked == _CUTS // _WORKLOADS
