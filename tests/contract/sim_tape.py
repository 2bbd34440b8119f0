"""Simulated tape drives for the contract suites of transport and tape."""

from hal.sim.cartridge import Cartridge
from hal.sim.tape import PROFILES, SimTapeDrive
from hal.ssc.drive import SscTape
from tests.contract import scsi, tape

END = 8 * tape.BLOCK


class SimBench(tape.Bench):
    end_bytes = END
    early = True

    def __init__(self, profile: str):
        self.name = profile
        self.profile = PROFILES[profile]
        self.can_lock = self.profile.locks
        self.reports_length = self.profile.ili
        self.reports_short = self.profile.ili or self.profile.residuals

    def _drive(self, cartridge):
        self.drive = SimTapeDrive(cartridge, self.profile)
        return SscTape(self.drive)

    async def open(self):
        return self._drive(Cartridge())

    async def small(self):
        return self._drive(Cartridge(END, 2 * tape.BLOCK))

    async def again(self, drive):
        await drive.close()
        return self._drive(self.drive.cartridge)

    async def pull(self, drive) -> bool:
        return self.drive.pull()

    async def protect(self, drive):
        self.drive.cartridge.write_protected = True
        return await self.again(drive)

    async def damage(self, drive, first: int, count: int) -> None:
        self.drive.cartridge.damage(first, count - 1)
        self.drive.cartridge.corrupt(first + count - 1)


async def transport(case) -> None:
    drive = SimTapeDrive(Cartridge())
    await scsi.ready(drive)
    await case(drive)


def drive(profile: str):
    async def run(case) -> None:
        await case(SimBench(profile))

    return run
