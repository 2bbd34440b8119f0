"""The image on a board in QEMU: it boots, finds its devices, gets an address, keeps its disk, and what kills it is on record."""

import shutil

from image import initramfs, tables, uki
from image.paths import run
from tests.lab.box import READY, START_S, QemuAppliance


def _started_with(image, tmp_path, command_line: str):
    """A copy of the flash image with another kernel command line."""
    kept = tables.COMMAND_LINE
    tables.COMMAND_LINE = command_line
    try:
        other = uki.build(initramfs.compress(initramfs.Initramfs().build()))
    finally:
        tables.COMMAND_LINE = kept
    (tmp_path / "uki").write_bytes(other)
    shutil.copyfile(image, tmp_path / "other.img")
    run(["mcopy", "-o", "-i", "%s@@%d" % (tmp_path / "other.img", tables.ALIGN_BYTES), tmp_path / "uki", "::" + tables.SLOT_A])
    return tmp_path / "other.img"


def test_boot_format_and_boot_again(image, tmp_path):
    with QemuAppliance(tmp_path / "box", image) as box:
        box.log_in()
        status = box.json("show status")
        assert status["board"] == "qemu_q35", status
        assert status["network"]["interface"] == "eth0" and status["network"]["mac"]
        disk = box.json("show disk")
        assert disk["model"].endswith("BOBBIN-TEST-DISK") and disk["size_bytes"] == 4 << 30, disk
        box.format_disk()
        assert box.json("show status")["network"]["address"] == "10.0.2.15", box.log()
        run(["sfdisk", "--verify", tmp_path / "box/disk.img"])

        box.console.line("reboot now")
        box.console.expect(READY, timeout_s=START_S)
        box.log_in()
        uuid = box.json("show disk")["uuid"]

        # The plug is pulled; journal and config survive it.
        box.kill()
        box.start()
        box.log_in()
        assert box.json("show disk")["uuid"] == uuid, box.log()
        assert box.stop() == 0


def test_without_a_disk_the_console_comes_up(image, tmp_path):
    with QemuAppliance(tmp_path / "box", image, disk_bytes=0) as box:
        box.log_in()
        assert "connect a disk" in box.run("show disk") + " ".join(box.json("show status")["warnings"])


def test_another_box(image, tmp_path):
    """The generic board: a stick as flash disk, a virtio LAN card, a SAS adapter; the modules are found by what is there."""
    other = _started_with(image, tmp_path, tables.COMMAND_LINE + " --board pc_x86_64")
    with QemuAppliance(tmp_path / "box", other, flash="usb", lan="virtio-net-pci", hba="mptsas1068", cpus=2) as box:
        box.log_in()
        status = box.json("show status")
        assert (status["board"], status["network"]["interface"]) == ("pc_x86_64", "eth0")
        assert not [text for text in status["warnings"] if "module" in text or "flash" in text], status["warnings"]


def test_a_panic_is_on_record(image, tmp_path):
    """PID 1 dies of an exception: the kernel panics and resets, and the next boot has both the traceback and the panic."""
    broken = _started_with(image, tmp_path, tables.COMMAND_LINE.replace("panic=10", "panic=1") + " --board nonsense")
    box = QemuAppliance(tmp_path / "box", broken)
    try:
        box.power_on()
        box.console.expect("board nonsense does not exist", timeout_s=120)
        box.console.expect("Kernel panic", timeout_s=30)
        box.console.expect("BdsDxe: starting", timeout_s=60)
    finally:
        box.kill()
    shutil.copyfile(image, tmp_path / "box/flash.img")
    with QemuAppliance(tmp_path / "box", image) as box:
        box.log_in()
        shown = box.run("show crash")
        assert "board nonsense does not exist" in shown and "Kernel panic" in shown, shown
        box.stop()
    with QemuAppliance(tmp_path / "box", image) as box:
        box.log_in()
        assert "Kernel panic" in box.run("show crash"), "it is kept until somebody clears it"
