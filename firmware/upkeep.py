"""What keeps the store sound: check and rebuild, one at a time, for the console. Part of the appliance."""

from firmware.formats import catalog as layout
from firmware.formats.refusal import Refusal
from firmware.tape.mount import clear_directory


class Upkeep:
    """`job` is None or what runs: an object with name, done_bytes, total_bytes and text."""

    def __init__(self, appliance):
        self._appliance = appliance
        self.job = None

    def _begin(self) -> None:
        if self.job is not None:
            raise Refusal("BUSY", "%s is running: wait until it is done" % self.job.name)

    async def check(self) -> dict:
        """What `store check` found: firmware.store.check.Check.run. Raises Refusal BUSY, NO_DISK, HalError."""
        from firmware.store.check import Check

        self._begin()
        appliance = self._appliance
        if appliance.store is None:
            raise Refusal("NO_DISK", appliance.disk_advice())
        directory = appliance.work_directory() + "/check"
        clear_directory(directory)
        scratch = appliance.machine.open_kv(directory, layout.TABLES, layout.DUPLICATES)
        self.job = Check(appliance.store, scratch)
        try:
            report = await self.job.run()
        finally:
            self.job = None
            scratch.close()
            clear_directory(directory)
        appliance.log.info("store", "check of %d views: %d kinds of findings" % (report["views"], len(report["findings"])))
        return report

    async def damage(self) -> dict:
        """Which files and views damaged packs hit: firmware.store.scrub_names.Names.run. Raises Refusal NO_DISK, HalError."""
        from firmware.store.scrub_names import Names

        appliance = self._appliance
        if appliance.store is None:
            raise Refusal("NO_DISK", appliance.disk_advice())
        await appliance.scrub.damage.locate()
        return await Names(appliance.store, appliance.scrub.damage).run()

    async def rebuild(self) -> dict:
        """Make the catalog anew and open the store with it: firmware.store.rebuild.Rebuild.run. Ends the sessions of agents.

        Raises Refusal BUSY, HalError; then the store is open with the catalog it had, if that can be opened.
        """
        appliance = self._appliance
        self._begin()
        busy = appliance.busy_with()
        if busy:
            raise Refusal("BUSY", "%s: wait until it is done" % busy)
        appliance.occupied = "the catalog is being rebuilt"
        try:
            await appliance.end_sessions()
            await appliance.close_store()
            if appliance.volume is None:
                appliance.volume = await appliance.machine.open_volume()
            try:
                report = await self._rebuild()
            finally:
                self.job = None
                await appliance.open_store()
        finally:
            appliance.occupied = ""
        appliance.problems = [text for text in appliance.problems if not text.startswith("disk: ")]
        appliance.log.info("store", "the catalog was rebuilt: %d views of %d clients" % (report["views"], report["clients"]))
        return report

    async def _rebuild(self) -> dict:
        from firmware.store import rebuild
        from firmware.store import superblock as super_

        machine, volume = self._appliance.machine, self._appliance.volume
        fresh = volume.directory + "/catalog.new"
        clear_directory(fresh)
        kv = machine.open_kv(fresh, rebuild.TABLES, layout.DUPLICATES)
        try:
            superblock = await super_.read(volume.disk, machine.processor)
            self.job = rebuild.Rebuild(volume.disk, superblock, machine.processor, kv)
            report = await self.job.run()
        finally:
            kv.close()
        machine.replace_kv(volume.directory + "/catalog", fresh)
        return report
