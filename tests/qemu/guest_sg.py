"""PID 1 of the guest of test_sg.py: the contract suites of transport and tape over /dev/sg0, then power off.

The arguments are the kind of target behind QEMU's scsi-generic and the modules to load. The host changes and damages
cartridges when a line "CONTROL ..." asks for it, and answers with a line. QEMU's iSCSI driver reports a residual of 0 whatever the target said, and istgt reports no
wrong length: together they make every block look as long as the buffer. A real HBA does not.
"""

import sys

sys.path[:] = ["/lib/bobbin", "/lib/guest", ".frozen"]

import asyncio  # noqa: E402

from hal.linux import system  # noqa: E402
from hal.linux.modules import ModuleTable  # noqa: E402
from hal.linux.sg import SgTransport  # noqa: E402
from tests.contract import scsi, tape  # noqa: E402
from tests.contract.targets import TargetBench  # noqa: E402

_PATH = "/dev/sg0"
_NOT_HERE = ("residual",)


class SgBench(TargetBench):
    def __init__(self, kind: str):
        super().__init__(kind, "")
        self.reports_short = self.reports_length

    def control(self, verb: str, *arguments) -> None:
        print("CONTROL", verb, *arguments)
        answer = sys.stdin.readline().strip()
        assert answer == "DONE", answer

    def transport(self):
        return SgTransport(_PATH)


async def _transport(case) -> None:
    transport = SgTransport(_PATH)
    await scsi.ready(transport)
    await case(transport)
    await transport.close()


async def _device_present() -> None:
    for _ in range(200):
        if "0" in [name[2:] for name in system.names("/sys/class/scsi_generic")]:
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("no SCSI device appeared")


def _cases() -> list:
    found = [("scsi-" + name, _transport(case)) for name, case in scsi.CASES.items() if name not in _NOT_HERE]
    return found + [("tape-" + name, case(SgBench(sys.argv[1]))) for name, case in tape.CASES.items() if name not in _NOT_HERE]


async def _main() -> None:
    await _device_present()
    failed = 0
    for name, case in _cases():
        try:
            await case
            print("PASSED", name)
        except Exception as error:
            failed += 1
            print("FAILED", name)
            sys.print_exception(error)
    print("RESULT %d failed" % failed)


def run() -> None:
    system.mount_kernel_filesystems()
    modules = ModuleTable()
    for name in sys.argv[2:]:
        modules.load(name)
    try:
        asyncio.run(_main())
    except BaseException as error:
        sys.print_exception(error)
    system.power_off()


run()
