"""hal.linux.sg over a real /dev/sg in a guest: kernel and MicroPython of the image, istgt behind several SCSI HBAs, and mhvtl."""

import subprocess
import threading

import pytest

from image import initramfs
from image.cpio import Archive
from image.paths import ROOT, ROOTFS, SEARCH
from tests.contract import tape
from tests.lab import kvm
from tests.lab.istgt import Istgt
from tests.lab.mhvtl import Mhvtl

_TIMEOUT_S = 180
_FILES = (
    "tests/__init__.py",
    "tests/contract/__init__.py",
    "tests/contract/scsi.py",
    "tests/contract/tape.py",
    "tests/contract/targets.py",
)
_HBAS = {
    "virtio-scsi-pci": ("sg", "virtio_scsi"),
    "mptsas1068": ("sg", "mptsas"),
}
_KINDS = {"istgt": Istgt, "mhvtl": Mhvtl}

_CONTROLS = {
    "blank": lambda target, size_mib: target.blank(size_mib),
    "reload": lambda target: target.insert(target.state["cartridge"]),
    "protect": lambda target: target.protect(),
    "damage": lambda target, first, count: target.damage(first, count),
}


@pytest.fixture(scope="module")
def initrd(image, tmp_path_factory):
    """The image's initramfs with the suites behind it; `image` has extracted what it needs."""
    extra = Archive(0)
    extra.file("usr/lib/micropython/guest_sg.py", (ROOT / "tests/qemu/guest_sg.py").read_bytes())
    for path in _FILES:
        extra.file("lib/guest/" + path, (ROOT / path).read_bytes())
    path = tmp_path_factory.mktemp("guest") / "initrd"
    path.write_bytes(initramfs.Initramfs().build() + extra.pack())
    return path


def _command(initrd, url: str, kind: str, hba: str) -> list:
    kernel = next((ROOTFS / "boot").glob("vmlinuz-*"))
    append = "quiet console=ttyS0 panic=-1 rdinit=/usr/bin/micropython -- -X heapsize=48m -m guest_sg " + " ".join(
        (kind, *_HBAS[hba])
    )
    machine = ["-accel", "kvm", "-cpu", "host"] if kvm.works() else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    return (
        ["qemu-system-x86_64", "-machine", "q35", "-m", "256", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot"]
        + machine + ["-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
        + ["-device", hba + ",id=hba", "-drive", "if=none,id=tape,format=raw,file=" + url]
        + ["-device", "scsi-generic,drive=tape,bus=hba.0"]
    )  # fmt: skip


@pytest.mark.parametrize("kind, hba", [("istgt", hba) for hba in _HBAS] + [("mhvtl", "virtio-scsi-pci")])
def test_contract_over_sg(initrd, tmp_path, kind, hba):
    if _KINDS[kind].missing():
        pytest.skip(_KINDS[kind].missing())
    target = _KINDS[kind](tmp_path / kind)
    try:
        output = _run(_command(initrd, target.start(size_mib=64), kind, hba), target)
    finally:
        target.stop()
    assert "RESULT 0 failed" in output, output[-6000:]
    assert output.count("PASSED tape-") == len(tape.CASES), output[-6000:]


def _run(command: list, target) -> str:
    """The guest's console until it powers off; what it asks for by "CONTROL verb arguments" is done to `target`."""
    guest = subprocess.Popen(command, env={"PATH": SEARCH}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")  # fmt: skip
    deadline = threading.Timer(_TIMEOUT_S, guest.kill)
    deadline.start()
    lines = []
    try:
        for line in guest.stdout:
            lines.append(line)
            words = line.split()
            if words[:1] == ["CONTROL"]:
                _CONTROLS[words[1]](target, *[int(word) for word in words[2:]])
                guest.stdin.write("DONE\n")
                guest.stdin.flush()
    finally:
        guest.kill()
        guest.wait()
        deadline.cancel()
    return "".join(lines)
