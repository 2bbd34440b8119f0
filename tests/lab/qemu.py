"""A board in QEMU: q35, OVMF, the flash image, a SATA data disk, a tape drive on a SCSI HBA, two serial ports, a watchdog.

Used by the QEMU tests, by `build.py run` and `build.py boot`. The flash disk is a second SATA disk, as a disk-on-module
is on real boards: OVMF and the kernel read it faster than USB, and telling it from the data disk gets exercised.

What makes it fast under TCG: one processor, since a second one makes the boot slower and halves the network's throughput, and
the firmware is one thread; no AVX, whose wide registers TCG does word by word (Reed-Solomon with SSSE3 is twice as fast), and
no fifth level of page tables to walk; an e1000e, which cuts large TCP segments up outside the guest (60 MB/s towards the
agent, 18 with virtio-net on a user network).
"""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from image.paths import SEARCH
from tests.lab import kvm, nvram
from tests.lab.console import Console, ConsoleClosed
from tests.lab.qmp import Qmp

_ACCELERATION = {True: ["-accel", "kvm", "-cpu", "host"], False: ["-accel", "tcg,thread=multi", "-cpu", "max,-avx,-avx2,-la57"]}
_FLASH = {
    "sata": ["-device", "ide-hd,drive=flash,bus=ide.5,bootindex=0,serial=FLASH"],
    "usb": ["-device", "qemu-xhci,id=usb", "-device", "usb-storage,drive=flash,bus=usb.0,bootindex=0"],
}
SERIALS = 2


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Qemu:
    """One appliance. `folder` keeps what outlives a boot: flash.img, disk.img, vars.fd, and the logs of the last boot.

    `tape` is the iSCSI URL of a drive or None, `forwards` maps a port of the appliance to one of 127.0.0.1.
    """

    def __init__(
        self,
        folder: Path,
        image: Path,
        disk_bytes: int = 4 << 30,
        tape: str = "",
        forwards=None,
        memory_mib: int = 256,
        cpus: int = 1,
        flash: str = "sata",
        hba: str = "virtio-scsi-pci",
        lan: str = "e1000e",
        acceleration=None,
    ):
        self.folder = folder
        self.image = image
        self.disk_bytes = disk_bytes
        self.tape = tape
        self.forwards = dict(forwards or {})
        self.memory_mib = memory_mib
        self.cpus = cpus
        self.flash = flash
        self.hba = hba
        self.lan = lan
        self.kvm = kvm.works() if acceleration is None else acceleration
        self.process = None
        self.qmp = None
        self.consoles = []

    def prepare(self, fresh: bool = True) -> None:
        """Lay out the folder; `fresh` throws away what an earlier boot left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flash, disk, variables = (self.folder / name for name in ("flash.img", "disk.img", "vars.fd"))
        if fresh or not flash.exists():
            shutil.copyfile(self.image, flash)
        if fresh or not variables.exists():
            shutil.copyfile(nvram.filled(), variables)
        if self.disk_bytes and (fresh or not disk.exists()):
            with open(disk, "wb") as out:
                out.truncate(self.disk_bytes)

    def _drives(self) -> list:
        words = nvram.drives(self.folder / "vars.fd")
        words += ["-drive", "if=none,id=flash,format=raw,file=%s" % (self.folder / "flash.img")] + _FLASH[self.flash]
        if self.disk_bytes:
            words += [
                "-drive",
                "if=none,id=data,format=raw,discard=unmap,file=%s" % (self.folder / "disk.img"),
                "-device",
                "ide-hd,drive=data,bus=ide.0,model=BOBBIN-TEST-DISK,serial=DATA0001",
            ]
        words += ["-device", self.hba + ",id=hba"]
        if self.tape:
            words += ["-drive", "if=none,id=tape,format=raw,file=" + self.tape, "-device", "scsi-generic,drive=tape,bus=hba.0"]
        return words

    def _lines(self) -> list:
        """Serial lines are ptys, which pyserial opens like any port; QEMU keeps a log of each."""
        words = []
        for i in range(SERIALS):
            words += [
                "-chardev",
                "pty,id=serial%d,logfile=%s" % (i, self.folder / ("serial%d.log" % i)),
                "-serial",
                "chardev:serial%d" % i,
            ]
        return words

    def _network(self) -> list:
        rules = "".join(",hostfwd=tcp:127.0.0.1:%d-:%d" % (there, here) for here, there in self.forwards.items())
        # No option ROM: OVMF would try to boot from the network.
        return ["-netdev", "user,id=lan" + rules, "-device", self.lan + ",netdev=lan,romfile="]

    def command(self) -> list:
        """The whole QEMU command line."""
        return (
            ["qemu-system-x86_64", "-name", "bobbin", "-machine", "q35"]
            + _ACCELERATION[self.kvm]
            + ["-m", str(self.memory_mib), "-smp", str(self.cpus), "-nodefaults", "-display", "none", "-S"]
            + self._drives()
            + self._lines()
            + self._network()
            + [
                "-device",
                "i6300esb",
                "-action",
                "watchdog=reset",
                "-rtc",
                "base=utc",
                "-qmp",
                "unix:%s,server=on,wait=off" % (self.folder / "qmp"),
            ]
        )

    def start(self, echo=None) -> None:
        """Power on; `echo` is called with what comes on the first serial line. Raises RuntimeError if QEMU does not start."""
        for name in ("qmp", "serial0.log", "serial1.log"):
            (self.folder / name).unlink(missing_ok=True)
        with open(self.folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": SEARCH}, start_new_session=True
            )
        self.qmp = self._connect()
        paths = {char["label"]: char["filename"].partition("pty:")[2] for char in self.qmp.command("query-chardev")}
        self.consoles = [Console(paths["serial%d" % i], echo=echo if i == 0 else None) for i in range(SERIALS)]
        # The lines are open before the first character can come.
        self.qmp.command("cont")

    def _connect(self) -> Qmp:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return Qmp(self.folder / "qmp")
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise RuntimeError("QEMU did not start: %s" % (self.folder / "qemu.log").read_text().strip())

    def wait_off(self, timeout_s: float = 30) -> None:
        """Until the appliance has switched itself off. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self._drain()
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the appliance's power-off", timeout_s)
        self._release()

    def _drain(self) -> None:
        for console in self.consoles:
            try:
                console.pump()
            except ConsoleClosed:
                time.sleep(0.05)

    def kill(self) -> None:
        """Pull the plug: what the guest wrote is kept, what it had not yet written is lost."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._release()

    def _release(self) -> None:
        for console in self.consoles:
            console.close()
        self.consoles = []
        if self.qmp:
            self.qmp.close()
            self.qmp = None

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        self.kill()
