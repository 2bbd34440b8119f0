"""Scrub: reads every pack that something needs, at a bounded rate, and checks its CRC and the hash of each item in it.

A supervised task of the appliance. Where it is is kept in the catalog, so it goes on after a restart. It makes room for backups
and restores. What fails is noted in the catalog's DAMAGE table (scrub_damage.py); agents heal it (heal.py).
"""

import asyncio

from firmware.formats import catalog as layout
from firmware.store.catalog import Catalog
from firmware.store.packs import Buffers, decode, verify
from firmware.store.scrub_damage import Damage
from hal.errors import CorruptData, MediumError, Timeout
from hal.loop import now_ms, sleep_ms, wait_ms

_SAVE_PACKS = 256  # checked between two notes of the position
_BUSY_MS = 1000  # pause after a pack while backups or restores run
_LOOK_MS = 600000  # between two looks at whether a pass is due
_LOCATE_MS = 3600000  # between two searches for the files hit, in the middle of a pass
_DAY_NS = 86400 * 1000000000
_NONE = bytes(9)


class Scrub:
    """`rate()` gives bytes a second, `every_days()` days between two passes, 0 for never. `log` is a firmware.core.log.Log."""

    def __init__(self, store, log, rate, every_days):
        self._store = store
        self._log = log
        self._rate = rate
        self._every_days = every_days
        self._buffers = Buffers()
        self._wake = asyncio.Event()
        self._wanted = False
        self._paused_ms = 0
        self.damage = Damage(store)
        self.state = self._load()

    def _load(self):
        txn = self._store.kv.begin()
        value = txn.get(layout.META, layout.META_SCRUB)
        txn.abort()
        return layout.SCRUB.unpack(value) if value else layout.SCRUB.tuple(_NONE, 0, 0, 0, 0)

    def _save(self, position: bytes, began_ns: int, ended_ns: int, bytes_: int, found: int) -> None:
        self.state = layout.SCRUB.tuple(position, began_ns, ended_ns, bytes_, found)
        txn = self._store.kv.begin(write=True)
        txn.put(layout.META, layout.META_SCRUB, layout.SCRUB.pack(*self.state))
        txn.commit()

    def start(self) -> None:
        """Begin a pass now, or go on with the one under way."""
        self._wanted = True
        self._wake.set()

    def running(self) -> bool:
        return self.state.position != _NONE or self._wanted

    def _due(self) -> bool:
        if self.running():
            return True
        days = self._every_days()
        return bool(days) and self._store.clock.now_ns() >= self.state.ended_ns + days * _DAY_NS

    async def run(self) -> None:
        """Passes when they are due, until cancelled."""
        while True:
            if self._due():
                await self.run_pass()
            self._wake.clear()
            if not self._wanted:
                try:
                    await wait_ms(self._wake.wait(), _LOOK_MS)
                except Timeout:
                    pass

    async def run_pass(self) -> None:
        """One pass, or the rest of the one that was cut."""
        self._wanted = False
        position, began, ended, bytes_, found = self.state
        if position == _NONE:
            began, bytes_, found = self._store.clock.now_ns(), 0, 0
            self._save(b"\0" * 8 + b"\1", began, ended, 0, 0)
            self._log.info("scrub", "a pass begins")
        located_ms, seen = now_ms(), 0
        while True:
            key = self._next(position)
            if key is None:
                break
            size, sound = await self.check(key)
            position, bytes_, found, seen = key, bytes_ + size, found + (not sound), seen + 1
            if seen % _SAVE_PACKS == 0 or not sound:
                self._save(position, began, ended, bytes_, found)
            if self.damage.waiting() and now_ms() - located_ms > _LOCATE_MS:
                await self.damage.locate()
                located_ms = now_ms()
            await self._pace(size)
        self.damage.prune()
        await self.damage.locate()
        self._save(_NONE, began, self._store.clock.now_ns(), bytes_, found)
        self._log.info("scrub", "a pass ended: %d bytes checked, %d packs damaged" % (bytes_, found))

    def _next(self, position: bytes):
        """Key of the next pack, None behind the last."""
        txn = self._store.kv.begin()
        found = Catalog(txn).end(layout.PACKS, position + b"\0", None)
        txn.abort()
        return found[0] if found else None

    async def check(self, key: bytes):
        """(bytes read, whether the pack is sound); notes damage, and that it is gone. What was freed meanwhile is sound."""
        store = self._store
        pin = store.segments.pin()
        try:
            txn = store.kv.begin()
            value = txn.get(layout.PACKS, key)
            txn.abort()
            if value is None:
                return 0, True
            row = layout.PACK.unpack(value)
            cause, text = await self._read(row)
        finally:
            store.segments.unpin(pin)
        if cause:
            if self.damage.note(key, row, cause):
                self._log.warning("scrub", "%s: `store damage` names the files hit" % text)
        else:
            self.damage.forget(key)
        return row.length, not cause

    async def _read(self, row):
        """(FAULT.cause, text), cause 0 for a sound pack."""
        try:
            body = await self._store.packs.stored(row, self._buffers)
            verify(decode(body, self._store.processor), self._store.processor)
            return 0, ""
        except CorruptData as error:
            return layout.CHECKSUM, str(error)
        except MediumError as error:
            return layout.UNREADABLE, str(error)
        finally:
            self._buffers.give_back()

    async def _pace(self, size: int) -> None:
        """Keep the rate; a pack a second while others work."""
        if self._store.running or self._store.segments.pinned():
            await sleep_ms(_BUSY_MS)
            return
        self._paused_ms += 1000 * size // max(1, self._rate())
        pause, self._paused_ms = self._paused_ms, 0
        if pause < 10:
            self._paused_ms, pause = pause, 0  # what is owed is waited for together
        await sleep_ms(pause)

    def status(self) -> dict:
        """For `show disk`: scrub and damaged_packs."""
        if self.running():
            text = "under way, %d MB checked" % (self.state.bytes // 1000000)
        elif self.state.ended_ns:
            text = "last pass found %d damaged packs" % self.state.found
        else:
            text = "no pass yet"
        return {"scrub": text, "scrub_running": self.running(), "damaged_packs": self.damage.count()}
