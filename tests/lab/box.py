"""The appliance in QEMU with an administrator at its first serial line: what `HostAppliance` is for the host board."""

import time
from pathlib import Path

from image import image
from tests.lab.administrator import PASSWORD, Administrator
from tests.lab.qemu import Qemu, free_port

READY = "bobbin: ready"
START_S = 120  # a machine that runs other tests at the same time is slow; figures are measured elsewhere
_STOP_S = 60
_ADDRESS_S = 60
_AGENT_PORT = 7170


class QemuAppliance(Administrator):
    """`options` are those of `tests.lab.qemu.Qemu`. `qemu` is the board; disk, flash and variables in `folder` outlive a boot."""

    def __init__(self, folder, path: Path = None, **options):
        self.folder = Path(folder)
        self.console = None
        self.process = None
        self.port = free_port()
        self.qemu = Qemu(self.folder, path or image.path(), forwards={_AGENT_PORT: self.port}, **options)
        self.qemu.prepare(fresh=False)

    def start(self, port: int = 0, echo=None) -> None:
        """Power on and wait until it is ready. The agents' port was chosen when the object was made."""
        self.power_on(echo)
        self.console.expect(READY, timeout_s=START_S)

    def power_on(self, echo=None) -> None:
        """Only that: for a boot that is not expected to get ready."""
        self.qemu.start(echo)
        self.process = self.qemu.process
        self.console = self.qemu.consoles[0]

    def log_in(self, password: str = PASSWORD) -> None:
        """Also waits for the LAN address: the link takes seconds to come up, and DHCP asks again after 2 s, 4 s ..."""
        super().log_in(password)
        deadline = time.monotonic() + _ADDRESS_S
        while not self.ask("show status")["network"]["address"]:
            assert time.monotonic() < deadline, "no LAN address after %d s:\n%s" % (_ADDRESS_S, self.log()[-2000:])
            time.sleep(0.5)

    def log(self) -> str:
        return (self.folder / "serial0.log").read_text(errors="replace")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *failure) -> None:
        self.kill()

    def stop(self) -> int:
        """Shut down from the console; gives QEMU's exit status."""
        self.console.line("shutdown now")
        self.qemu.wait_off(_STOP_S)
        self.console = None
        return self.process.returncode

    def kill(self) -> None:
        """Pull the plug. Does nothing if it does not run."""
        self.qemu.kill()
        self.console = None
