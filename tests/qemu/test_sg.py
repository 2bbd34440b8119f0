"""hal.linux.sg over a real /dev/sg in a guest: kernel and MicroPython of the image, istgt behind several SCSI HBAs."""

import subprocess

import pytest

from image import initramfs
from image.cpio import Archive
from image.paths import ROOT, ROOTFS, SEARCH
from tests.lab import kvm
from tests.lab.istgt import Istgt

_TIMEOUT_S = 180
_FILES = ("tests/__init__.py", "tests/contract/__init__.py", "tests/contract/scsi.py", "tests/contract/tape.py")
_HBAS = {
    "virtio-scsi-pci": ("sg", "virtio_scsi"),
    "mptsas1068": ("sg", "mptsas"),
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


def _command(initrd, url: str, hba: str, modules) -> list:
    kernel = next((ROOTFS / "boot").glob("vmlinuz-*"))
    append = "quiet console=ttyS0 panic=-1 rdinit=/usr/bin/micropython -- -X heapsize=48m -m guest_sg " + " ".join(modules)
    machine = ["-accel", "kvm", "-cpu", "host"] if kvm.works() else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    return (
        ["qemu-system-x86_64", "-machine", "q35", "-m", "256", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot"]
        + machine + ["-serial", "stdio", "-kernel", str(kernel), "-initrd", str(initrd), "-append", append]
        + ["-device", hba + ",id=hba", "-drive", "if=none,id=tape,format=raw,file=" + url]
        + ["-device", "scsi-generic,drive=tape,bus=hba.0"]
    )  # fmt: skip


@pytest.mark.parametrize("hba", _HBAS)
def test_contract_over_sg(initrd, tmp_path, hba):
    if Istgt.missing():
        pytest.skip(Istgt.missing())
    target = Istgt(tmp_path / "istgt")
    url = target.start(size_mib=64)
    try:
        done = subprocess.run(_command(initrd, url, hba, _HBAS[hba]), env={"PATH": SEARCH}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=_TIMEOUT_S)  # fmt: skip
    finally:
        target.stop()
    assert "RESULT 0 failed" in done.stdout, done.stdout[-6000:]
