"""The contract suites of transport and tape over running targets, through libiscsi. Run by test_targets.py under both interpreters.

Environment BOBBIN_TARGETS: "istgt=DIRECTORY,tgt=DIRECTORY" of started targets. Cartridges are changed by running
`python3 -m tests.lab.NAME`, so that MicroPython can do it as well.
"""

import os

from hal import loop
from hal.errors import HalError
from hal.linux.iscsi import IscsiTransport
from hal.ssc.drive import SscTape
from tests.contract import scsi, tape

_SMALL_MIB = 4

# (reports_length, end_bytes of a small cartridge, early, can_protect)
_TRAITS = {
    "istgt": (False, _SMALL_MIB << 20, False, True),
    "mhvtl": (True, _SMALL_MIB << 20, True, True),
    "tgt": (True, 0, True, True),
}


class TargetBench(tape.Bench):
    """A drive behind IscsiTransport at the target `kind` in `directory`."""

    def __init__(self, kind: str, directory: str):
        self.name = kind
        self._directory = directory
        self.reports_length, self.end_bytes, self.early, self.can_protect = _TRAITS[kind]

    def control(self, verb: str, *arguments) -> None:
        python = os.getenv("BOBBIN_PYTHON") or "python3"
        words = [python, "-m", "tests.lab." + self.name, verb, self._directory] + [str(each) for each in arguments]
        if os.system(" ".join(words)):
            raise AssertionError("%s failed" % " ".join(words))

    def url(self) -> str:
        with open(self._directory + "/url") as file:
            return file.read()

    def transport(self):
        return IscsiTransport(self.url())

    async def connect(self):
        """A transport whose unit has become ready after a change of cartridges."""
        transport = self.transport()
        await scsi.ready(transport)
        return transport

    async def _blank(self, size_mib: int):
        self.control("blank", size_mib)
        return SscTape(await self.connect())

    async def open(self):
        return await self._blank(64)

    async def small(self):
        return await self._blank(_SMALL_MIB)

    async def again(self, drive):
        await drive.close()
        return SscTape(await self.connect())

    async def reload(self, drive) -> None:
        self.control("reload")
        await drive.load()

    async def protect(self, drive):
        await drive.close()
        self.control("protect")
        return SscTape(await self.connect())

    async def damage(self, drive, first: int, count: int) -> None:
        self.control("damage", first, count)


def _running() -> dict:
    given = os.getenv("BOBBIN_TARGETS") or ""
    return dict([pair.split("=") for pair in given.split(",") if pair])


def _tape_case(kind: str, directory: str, case):
    async def run() -> None:
        await case(TargetBench(kind, directory))

    return run


def _scsi_case(kind: str, directory: str, case):
    async def run() -> None:
        bench = TargetBench(kind, directory)
        bench.control("blank", 64)
        transport = await bench.connect()
        await case(transport)
        await transport.close()

    return run


def _drop_case(kind: str, directory: str):
    """The target dies in the middle: BusError, nothing hangs; the next target is logged in to as if it were the first."""

    async def run() -> None:
        bench = TargetBench(kind, directory)
        drive = await bench.open()
        await tape.wrote(drive, "bbb")
        bench.control("restart")
        error = await tape.raises(HalError, drive.write(bytes(4096)))
        assert type(error).__name__ in ("BusError", "UnitAttention"), error
        await tape.raises(HalError, drive.read(bytearray(4096)))
        await drive.close()
        drive = await bench.again(drive)
        await drive.rewind()
        for address in range(3):
            await tape.expect(drive, address, "b")
        await drive.close()
        await loop.sleep_ms(0)

    return run


def contract_cases() -> list:
    """[(id, coroutine function)] over every target that is running."""
    found = []
    for kind, directory in sorted(_running().items()):
        found += [("scsi-%s-%s" % (kind, name), _scsi_case(kind, directory, case)) for name, case in scsi.CASES.items()]
        found += [("tape-%s-%s" % (kind, name), _tape_case(kind, directory, case)) for name, case in tape.CASES.items()]
        found.append(("tape-%s-target_dies" % kind, _drop_case(kind, directory)))
    return found
