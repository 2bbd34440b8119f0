"""The appliance's tape drive and what is in it, found again after resets and changes. Used by the tape service."""

from firmware.core.log import stamp
from firmware.formats import tape as form
from firmware.tape import label as labels
from firmware.tape.policy import is_protected
from hal.errors import BusError, NotReady, UnitAttention, WriteProtected
from hal.loop import sleep_ms
from hal.ssc.drive import SscTape

_ABSENT_TRIES = 8  # a cartridge that was just put in; istgt denies it six times
_ABSENT_MS = 200


class Drive:
    """Opened at the first use. `found` is what `identify` said of the cartridge, None while that is not known."""

    def __init__(self, machine):
        self.found = None
        self._machine = machine
        self._tape = None

    @property
    def is_open(self) -> bool:
        return self._tape is not None

    async def tape(self):
        """hal.tape.Tape of the first drive. Raises NotReady if there is none."""
        if self._tape is None:
            transports = await self._machine.tape_transports()
            if not transports:
                raise NotReady("no tape drive was found: connect one, switch it on and try again")
            for spare in transports[1:]:
                await spare.close()
            self._tape = SscTape(transports[0])
        return self._tape

    async def close(self) -> None:
        """Let go of the drive; also after a failure of the transport: the next use opens it anew."""
        tape, self._tape, self.found = self._tape, None, None
        if tape:
            await tape.close()

    async def identify(self):
        """Look at the cartridge now; moves the tape. Gives labels.Found."""
        self.found = None
        self.found = await labels.identify(await self.tape(), self._machine.processor)
        return self.found

    async def look(self, status) -> None:
        """Identify the cartridge, unless it is still the one that was seen last."""
        if not status.loaded:
            self.found = None
            return
        if self.found:
            try:
                await self._tape.position()
                return
            except (UnitAttention, BusError):
                pass  # reset or changed since; a drive that does not announce a change stands elsewhere
        await self.identify()

    async def cartridge(self, writing: bool = False) -> tuple:
        """(tape, Found, TapeStatus) of the cartridge in the drive, looked at now. Raises NotReady, WriteProtected."""
        tape = await self.tape()
        status = await tape.status()
        for _ in range(_ABSENT_TRIES):
            if status.loaded:
                break
            await sleep_ms(_ABSENT_MS)
            status = await tape.status()
        if not status.loaded:
            raise NotReady("there is no tape in the drive: insert one, or `tape load` the one that was ejected")
        if writing and status.write_protected:
            raise WriteProtected("the tape is write-protected: move the tab of the cartridge, or insert another")
        return tape, await self.identify(), status

    def told(self, status) -> dict:
        """Drive and cartridge, for the console."""
        name = " ".join([part for part in (status.vendor, status.product, status.revision) if part])
        told = {"drive": name, "serial": status.serial, "loaded": status.loaded}
        if status.loaded:
            told["write_protected"] = status.write_protected
            told["cartridge"] = self.found.text if self.found else "not looked at yet"
            if self.found and self.found.label:
                told.update(_label_told(self.found.label, self._machine.clock.now_ns()))
        return told


def _label_told(label, now_ns: int) -> dict:
    told = {"name": label.name, "written_by": label.owner, "block_bytes": label.block_bytes}
    if label.contents == form.EMPTY:
        return dict(told, contents="labelled, empty")
    keep = "for ever" if label.flags & form.ARCHIVE else "until " + stamp(label.expires_ns)
    told["kept"] = keep if is_protected(label, now_ns) else "may be overwritten"
    return dict(
        told, contents="image of " + stamp(label.written_ns), correction="%d of %d blocks" % (label.m, label.k + label.m)
    )
