"""Keeps the store within its space by policy: merges views, ages deleted files, compacts segments. A task of the appliance.

Every day at the merge time for all clients; at once, from the oldest views on, when the delta area or the disk is nearly full; and
compaction whenever enough of a segment is dead. It works in slices beside backups and restores. What to merge is decided by
keep_plan.py.
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.formats.refusal import Refusal
from firmware.store import areas, keep_plan
from firmware.store.catalog import Catalog
from firmware.store.compactor import MOST
from hal.errors import HalError, Timeout
from hal.loop import now_ms, sleep_ms, wait_ms

_LOOK_MS = 15000  # between two looks at the clock and the areas
_SLICE = 512  # views looked at in one go
_SHORT_SEGMENTS = 2  # free above the reserve: below it the disk counts as full


class Keeper:
    """`config` gives the settings keep.*; `run` is supervised. `merge_now` does all that is due."""

    def __init__(self, store, config, clock, log):
        self._store = store
        self._config = config
        self._clock = clock
        self._log = log
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._day = None  # the last one that was merged
        self._told = False
        self.last = (0, "none since the start")  # when, and text about the last merge
        self._set_reserve()
        config.watch("keep.reserve_percent", self._set_reserve)

    def _set_reserve(self) -> None:
        self._store.log.reserve = areas.reserve_segments(self._store.segments.count, self._config.get("keep.reserve_percent"))

    def wake(self) -> None:
        """Look at once: space may be short."""
        self._wake.set()

    def policy(self):
        get = self._config.get
        names = ("hourly_days", "daily_days", "fold_days", "deleted_days", "urgent_days")
        return keep_plan.Policy(get("keep.merge_time"), *[get("keep." + name) for name in names])

    async def run(self) -> None:
        while True:
            try:
                await self.turn()
            except (Refusal, HalError) as error:
                self._log.warning("keep", str(error))
            self._wake.clear()
            try:
                await wait_ms(self._wake.wait(), _LOOK_MS)
            except Timeout:
                pass

    async def turn(self) -> None:
        """One look: what is due by the clock, what space demands."""
        day = self.policy().day(self._clock.now_ns())
        if self._day is None or day != self._day:
            await self.merge_now()
            self._day = day
        await self.relieve()
        await self.compact(self._config.get("keep.compact_percent"))

    async def compact(self, percent: int) -> None:
        """Empty sparse segments one by one."""
        while await self._store.compactor.step(percent):
            await sleep_ms(0)

    # -- by the clock

    async def merge_now(self) -> dict:
        """All that is due: {"views": merged away, "text"}."""
        async with self._lock:
            began = now_ms()
            policy = self.policy()
            now_ns = await self._now_ns()
            merged = failed = 0
            for client in self._store.clients():
                for step in keep_plan.plan(policy, self._views(client.id), now_ns):
                    count = await self._fold(client, step)
                    merged += count
                    failed += count < 0
            await self._settle()
            text = "%d views were merged into later ones in %d ms" % (merged, now_ms() - began)
            if failed:
                text += "; %d merges failed: `show log`" % failed
            self.last = (self._clock.now_ns(), text)
            if merged or failed:
                self._log.info("keep", text)
            return {"views": merged, "text": text}

    async def _fold(self, client, step) -> int:
        """Views that went, -1 if it failed."""
        try:
            done = await self._store.merger.fold(client.id, step.numbers, step.kind, self._clock.now_ns(), step.limit_ns)
        except Refusal as error:
            self._log.warning("keep", "%s: %s" % (client.name, error.text))
            return -1
        if done.damaged:
            self._log.warning("keep", "%s: %d directories could not be merged: damaged" % (client.name, done.damaged))
        self._log.debug(
            "keep", "%s: %s %s, %d nodes read" % (client.name, layout.VIEW_NAMES[step.kind], step.numbers, done.nodes)
        )
        return done.views

    def _views(self, client: int) -> list:
        txn = self._store.kv.begin()
        try:
            rows = Catalog(txn).views(client)
            return [keep_plan.View(number, row.kind, row.time_ns, row.attic_ns) for number, row in rows]
        finally:
            txn.abort()

    async def _now_ns(self) -> int:
        """The clock, but not far ahead of the newest backup: see keep_plan.present."""
        clock_ns = self._clock.now_ns()
        newest = 0
        txn = self._store.kv.begin()
        try:
            for seen, (_, value) in enumerate(txn.scan(layout.VIEWS)):
                time_ns = layout.VIEW.unpack(value).time_ns
                if newest < time_ns <= clock_ns:
                    newest = time_ns
                if seen % _SLICE == _SLICE - 1:
                    await sleep_ms(0)
        finally:
            txn.abort()
        return keep_plan.present(clock_ns, newest)

    async def _settle(self) -> None:
        await self._store.collector.drain()
        while await areas.settle(self._store):
            pass

    # -- when space is short

    async def is_short(self) -> bool:
        usage = await areas.usage(self._store, self._config.get("keep.delta_percent"))
        return usage.delta_percent_used() >= self._config.get("keep.urgent_percent") or self._is_full()

    def _is_full(self) -> bool:
        return self._store.segments.free_count() < self._store.log.reserve + _SHORT_SEGMENTS

    async def relieve(self) -> int:
        """Merge the oldest views of all clients into their baselines until there is room again; gives how many went."""
        merged = 0
        if not await self.is_short():
            self._told = False
            return 0
        async with self._lock:
            await self._settle()
            while await self.is_short():
                await self.compact(MOST)
                await self._settle()
                if not await self.is_short():
                    break
                count = await self._oldest_step()
                if count <= 0:
                    break
                merged += count
                await self._settle()
        self._tell(merged, await self.is_short())
        return merged

    def _tell(self, merged: int, short: bool) -> None:
        if merged:
            self.last = (self._clock.now_ns(), "space was short: %d old views merged into baselines" % merged)
            self._log.warning("keep", self.last[1])
        if short and not self._told:
            self._log.error("keep", "space is short and there is nothing left to merge: use a larger disk or delete views")
        self._told = short

    async def _oldest_step(self) -> int:
        policy, now_ns = self.policy(), await self._now_ns()
        best = None
        for client in self._store.clients():
            found = keep_plan.urgent(policy, self._views(client.id), now_ns)
            if found is not None and (best is None or found[0] < best[0]):
                best = (found[0], found[1], client)
        return await self._fold(best[2], best[1]) if best is not None else 0

    # -- for `show disk`

    async def status(self) -> dict:
        usage = await areas.usage(self._store, self._config.get("keep.delta_percent"))
        return {
            "areas": usage.rows(self._store.superblock.segment_bytes),
            "next_merge_ns": self.policy().next_merge_ns(self._clock.now_ns()),
            "last_merge_ns": self.last[0],
            "last_merge": self.last[1],
        }
