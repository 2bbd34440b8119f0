"""The tape drive as the administrator sees it: one job at a time, progress, clear refusals. Used by the console and the appliance."""

import asyncio

from firmware.core.log import stamp
from firmware.formats import tape as form
from firmware.formats.refusal import Refusal
from firmware.tape import label as labels
from firmware.tape.drive import Drive
from firmware.tape.geometry import GEOMETRIES
from firmware.tape.image import open_image
from firmware.tape.mount import mount
from firmware.tape.policy import check_backup, check_label
from firmware.tape.verify import verify
from firmware.tape.writer import ImageWriter, least_bytes
from hal.errors import BusError, HalError, MediumError, Timeout, UnitAttention, Unsupported
from hal.loop import now_ms

_BLOCK_GRANULE = 512
_LOST_TRACK = (UnitAttention, BusError, Timeout)


class Job:
    """`name` of the command, `done_bytes` of `total_bytes` (0: not known), `text` on what it is doing."""

    def __init__(self, name: str):
        self.name = name
        self.done_bytes = self.total_bytes = 0
        self.text = ""
        self._began_ms = now_ms()

    def progress(self, done_bytes: int) -> None:
        self.done_bytes = done_bytes

    def summary(self, nbytes: int) -> str:
        """Bytes, time and rate so far."""
        elapsed_ms = max(1, now_ms() - self._began_ms)
        return "%d.%d MB in %d s (%d kB/s)" % (
            nbytes // 1000000,
            nbytes // 100000 % 10,
            elapsed_ms // 1000,
            nbytes // elapsed_ms,
        )


class TapeService:
    """`job` is the running Job or None. Every command raises Refusal BUSY while another runs, and HalError of the drive."""

    def __init__(self, appliance):
        self.job = None
        self._appliance = appliance
        self._task = None
        self._drive = Drive(appliance.machine)

    # Commands

    async def status(self) -> dict:
        """Drive, cartridge and its label. Does not move the tape while a job runs or a tape is mounted; never raises."""
        try:
            tape = await self._drive.tape()
            status = await tape.status()
            if self.job is None and self._appliance.mounted is None:
                await self._drive.look(status)
        except HalError as error:
            return {"drive": "failed" if self._drive.is_open else "none", "reason": str(error)}
        told = self._drive.told(status)
        if self._appliance.mounted:
            told["mounted"] = self._appliance.mounted.label
        return told

    async def label(self, name: str, force: bool = False) -> dict:
        """Label the cartridge; what it held is gone. A foreign tape, and an image that is to be kept, need `force`."""
        return await self._run("label", lambda job: self._label(job, name, force))

    async def backup(self) -> dict:
        """Copy the store. A blank tape is labelled first; a foreign one, and an image to be kept, are refused."""
        return await self._run("backup", self._backup)

    async def verify(self) -> dict:
        """Read everything back. Raises MediumError where something is beyond correction."""
        return await self._run("verify", self._verify)

    async def eject(self) -> dict:
        return await self._run("eject", self._eject)

    async def load(self) -> dict:
        return await self._run("load", self._load)

    async def mount(self) -> dict:
        """Open the cartridge as a read-only store: sets `appliance.mounted`."""
        return await self._run("mount", self._mount)

    async def unmount(self) -> dict:
        """Raises Refusal NO_TAPE if none is mounted."""
        return await self._run("unmount", self._unmount, mounted=True)

    async def close(self) -> None:
        """End the running job (a copy stays unfinished), unmount, let go of the drive."""
        if self._task and not self._task.done():
            self._task.cancel()
            try:
                await self._task
            except asyncio.CancelledError:
                pass
            except Exception:
                pass  # told to whoever started the job
        if self._appliance.mounted:
            await self._release()
        await self._drive.close()

    # One job at a time

    async def _run(self, name: str, work, mounted: bool = False) -> dict:
        if self.job:
            raise Refusal("BUSY", "tape %s is running: wait until it is done" % self.job.name, 60)
        if mounted != bool(self._appliance.mounted):
            raise self._wrong_state()
        self.job = Job(name)
        self._task = asyncio.create_task(self._guarded(work))
        return await self._task

    def _wrong_state(self) -> Refusal:
        held = self._appliance.mounted
        if held:
            return Refusal("BUSY", "tape %s is mounted: `tape unmount` first" % held.label)
        return Refusal("NO_TAPE", "no tape is mounted")

    async def _guarded(self, work) -> dict:
        log = self._appliance.log
        name = self.job.name
        try:
            result = await work(self.job)
            log.info("tape", result["text"])
            return result
        except (HalError, Refusal) as error:
            log.error("tape", "tape %s: %s" % (name, error))
            if isinstance(error, _LOST_TRACK):
                await self._drive.close()
            raise
        finally:
            self.job = None

    # What the jobs do

    def _now(self) -> int:
        return self._appliance.machine.clock.now_ns()

    def _owner(self) -> tuple:
        """(uuid, name) that go into labels."""
        store = self._appliance.store
        return store.uuid if store else labels.NO_UUID, self._appliance.config.get("appliance.name")

    def _shape(self, status) -> tuple:
        """(block bytes, Geometry) of what will be written."""
        block_bytes = min(form.BLOCK_BYTES, status.block_max or form.BLOCK_BYTES) // _BLOCK_GRANULE * _BLOCK_GRANULE
        if block_bytes < form.LABEL_BYTES:
            raise Unsupported(
                "the drive takes blocks of at most %d bytes, expected at least %d" % (status.block_max, form.LABEL_BYTES)
            )
        return block_bytes, GEOMETRIES[self._appliance.config.get("tape.geometry")][0]

    async def _label(self, job: Job, name: str, force: bool) -> dict:
        fault = labels.name_fault(name)
        if fault:
            raise Refusal("LIMIT", fault)
        tape, found, status = await self._drive.cartridge(writing=True)
        if not force:
            check_label(found, name, self._now())
        await self._write_empty(tape, name, status)
        return {"text": "the tape is labelled %s" % name, "name": name}

    async def _write_empty(self, tape, name: str, status) -> None:
        label = self._empty(name, status)
        self._drive.found = None
        await labels.write_label(tape, self._appliance.machine.processor, label)
        self._drive.found = labels.Found(labels.OURS, "tape %s" % name, label)

    def _empty(self, name: str, status):
        return labels.new_label(name, *(self._owner() + self._shape(status) + (self._now(),)))

    async def _backup(self, job: Job) -> dict:
        appliance = self._appliance
        if appliance.store is None:
            raise Refusal("NO_DISK", "there is no store to copy: " + appliance.disk_advice())
        job.text = "looking at the tape"
        tape, found, status = await self._drive.cartridge(writing=True)
        check_backup(found, self._owner()[0], self._now())
        # Not written to a blank tape: WORM takes a label once.
        empty = found.label or self._empty(labels.new_name(), status)
        uuid, owner = self._owner()
        block_bytes, geometry = self._shape(status)
        keep_days = appliance.config.get("tape.keep_days")
        label = labels.for_image(empty, uuid, owner, block_bytes, geometry, self._now(), keep_days)
        self._drive.found = labels.Found(labels.OURS, "tape %s" % label.name, label)
        try:
            end = await self._copy(job, tape, label)
        except BaseException:
            self._drive.found = None  # nobody knows what became of the tape
            raise
        return {
            "text": "tape %s is complete: %s, %d blocks" % (label.name, job.summary(end.stream_bytes), end.image_blocks),
            "name": label.name,
            "bytes": end.stream_bytes,
            "blocks": end.image_blocks,
        }

    async def _copy(self, job: Job, tape, label):
        machine = self._appliance.machine
        snapshot = self._appliance.store.snapshot()
        try:
            await tape.prevent_removal(True)
            job.total_bytes = least_bytes(snapshot)
            job.text = "writing tape %s" % label.name
            return await ImageWriter(tape, machine.processor, machine.clock, snapshot, label, job.progress).run()
        finally:
            snapshot.release()
            await self._let_go()

    async def _open(self, job: Job):
        """The TapeImage of a cartridge that is locked in from now on, until `_close`."""
        job.text = "looking at the tape"
        tape, _, _ = await self._drive.cartridge()
        await tape.prevent_removal(True)
        try:
            return await open_image(tape, self._appliance.machine.processor)
        except BaseException:
            await self._let_go()
            raise

    async def _close(self, image) -> None:
        try:
            await image.close()
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """The cartridge may be taken out again. A drive that fails or is gone holds nothing."""
        try:
            if self._drive.is_open:
                await (await self._drive.tape()).prevent_removal(False)
        except HalError:
            pass

    async def _verify(self, job: Job) -> dict:
        image = await self._open(job)
        try:
            name, block_bytes = image.label.name, image.label.block_bytes
            job.total_bytes = image.index.image_blocks * block_bytes
            job.text = "verifying tape %s" % name
            report = await verify(image, self._appliance.machine.processor, lambda blocks: job.progress(blocks * block_bytes))
        finally:
            await self._close(image)
        if report.lost:
            raise MediumError("tape %s is damaged: %s; what it lost is named when files are restored" % (name, report.text()))
        text = "tape %s is sound: %s, %s" % (name, report.text(), job.summary(report.blocks * block_bytes))
        return {"text": text, "name": name, "blocks": report.blocks, "damaged": report.damaged, "corrected": report.corrected,
                "worst": report.worst, "correctable": report.correctable}  # fmt: skip

    async def _eject(self, job: Job) -> dict:
        tape = await self._drive.tape()
        name = self._drive.found.text if self._drive.found else "the tape"
        await tape.unload()
        self._drive.found = None
        return {"text": "%s is ejected" % name}

    async def _load(self, job: Job) -> dict:
        tape = await self._drive.tape()
        await tape.load()
        return {"text": "loaded: %s" % (await self._drive.identify()).text}

    async def _mount(self, job: Job) -> dict:
        image = await self._open(job)
        try:
            job.text = "reading the catalog of tape %s" % image.label.name
            mounted = await mount(image, self._appliance.machine, self._appliance.work_directory() + "/mount")
        except BaseException:
            await self._close(image)
            raise
        self._appliance.mounted = mounted
        name = image.label.name
        return {"text": "tape %s of %s is mounted" % (name, stamp(image.label.written_ns)), "name": name}

    async def _unmount(self, job: Job) -> dict:
        name = self._appliance.mounted.label
        await self._release()
        return {"text": "tape %s is unmounted" % name}

    async def _release(self) -> None:
        mounted, self._appliance.mounted = self._appliance.mounted, None
        try:
            await mounted.release()
        finally:
            await self._let_go()
