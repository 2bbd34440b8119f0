"""The second machine of `tests.lab.mhvtl`: kernel and initramfs from Debian 12 packages, for the kernel of a given module.

What is taken out of the packages stays in build/mhvtl-RELEASE. Programs of the tree run in the guest and, with the C
library kept there, on this host.
"""

import os
import re
import shutil
from pathlib import Path

from image.cpio import Archive
from image.elf import load
from image.modules import normal
from image.paths import BUILD, BuildError, run

_SUITE = "bookworm"
_PACKAGES = ("busybox-static", "mtx", "zlib1g")
_MODULES = (
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "virtio_net",
    "sg",
    "scsi_mod",
    "target_core_pscsi",
    "iscsi_target_mod",
    "crc32c_generic",
)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"
_PROGRAMS = ("bin/busybox", "usr/sbin/mtx")
_VERMAGIC = re.compile(rb"vermagic=(6\.1\.[0-9.-]+-amd64) ")
_INIT = Path(__file__).with_name("mhvtl_init.sh")

# The library has one slot, one drive and one cartridge; the guest puts the wanted one under that barcode.
BARCODE = "BOBBINL6"
LIBRARY, DRIVE = 10, 11
_CONTENTS = "Drive 1:\nPicker 1:\nMAP 1:\nSlot 1: %s\n" % BARCODE
_DEVICES = """\
VERSION: 5

Library: {library} CHANNEL: 00 TARGET: 00 LUN: 00
 Vendor identification: STK
 Product identification: L700
 Unit serial number: BOBBIN_A
 NAA: 10:22:33:44:ab:00:00:00
 Home directory: /opt/mhvtl
 PERSIST: False
 Backoff: 400

Drive: {drive} CHANNEL: 00 TARGET: 01 LUN: 00
 Library ID: {library} Slot: 01
 Vendor identification: IBM
 Product identification: ULT3580-TD6
 Product revision level: 2160
 Unit serial number: BOBBIN_A1
 NAA: 10:22:33:44:ab:00:01:00
 Compression: factor 1 enabled 0
 Compression type: lzo
 Backoff: 400

""".format(library=LIBRARY, drive=DRIVE)


def release(module: Path) -> str:
    """The Debian 12 kernel that the module was built for. Raises BuildError for any other."""
    match = _VERMAGIC.search(module.read_bytes())
    if not match:
        raise BuildError("%s was not built for a Debian 12 kernel (6.1.*-amd64)" % module)
    return match.group(1).decode()


class Guest:
    """`kernel` and `libraries` are paths on this host; `initramfs()` gives the archive."""

    def __init__(self, kernel_release: str):
        self.release = kernel_release
        self.folder = BUILD / ("mhvtl-" + kernel_release)
        self.kernel = self.folder / "vmlinuz"
        self.libraries = self.folder / "lib"

    def ensure(self) -> None:
        """Take what is needed out of the Debian packages, once. Raises BuildError."""
        if self.folder.exists():
            return
        root, fresh = BUILD / "mhvtl.root", BUILD / "mhvtl.new"
        for folder in (root, fresh):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            self._extract(root)
            self._keep(root, fresh)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        fresh.rename(self.folder)

    def _extract(self, root: Path) -> None:
        packages = ",".join((*_PACKAGES, "linux-image-" + self.release))
        mode = ["--mode=fakechroot"] if os.geteuid() else []
        try:
            run(["mmdebstrap", "--variant=extract", "--architectures=amd64", "--include=" + packages, *mode, _SUITE, root])
        except BuildError as error:
            raise BuildError("the mhvtl module is for kernel %s: does Debian 12 still have it? %s" % (self.release, error))

    def _keep(self, root: Path, fresh: Path) -> None:
        for name in ("bin", "lib", "modules"):
            (fresh / name).mkdir(parents=True)
        shutil.copy(root / "boot" / ("vmlinuz-" + self.release), fresh / "vmlinuz")
        for program in _PROGRAMS:
            shutil.copy(root / program, fresh / "bin")
        for library in ("libc.so.6", "libz.so.1", _LOADER):
            found = next(path for path in sorted(root.rglob(library)) if path.exists())
            shutil.copy(found.resolve(), fresh / "lib" / library)
        order = _closure(root / "lib/modules" / self.release)
        for path in order:
            shutil.copy(path, fresh / "modules")
        (fresh / "modules/order").write_text("".join(path.name + "\n" for path in order))

    def on_host(self, tree: Path, program: str) -> list:
        """Argument list that starts a program of the tree on this host with the guest's C library."""
        path = "%s:%s" % (self.libraries, tree / "usr")
        return [str(self.libraries / _LOADER), "--library-path", path, str(tree / "usr/bin" / program)]

    def initramfs(self) -> bytes:
        archive = Archive(0)
        for folder in ("dev", "proc", "sys", "tmp", "run", "var/lock", "var/run", "tree", "cartridges", "opt/mhvtl"):
            archive.folder(folder)
        archive.device("dev/console", 0o600, 5, 1)
        for kind, mode in (("bin", 0o755), ("modules", 0o644)):
            for path in sorted((self.folder / kind).iterdir()):
                archive.file("%s/%s" % (kind, path.name), path.read_bytes(), mode)
        for path in sorted(self.libraries.iterdir()):
            archive.file("lib64/" + path.name, path.read_bytes(), 0o755)
        archive.link("bin/sh", "busybox")
        archive.file("init", _INIT.read_bytes(), 0o755)
        archive.file("etc/mhvtl/device.conf", _DEVICES.encode())
        archive.file("etc/mhvtl/library_contents.%d" % LIBRARY, _CONTENTS.encode())
        return archive.pack()


def _closure(folder: Path) -> list:
    """Paths of `_MODULES` and of what they depend on, in the order to load."""
    index = {normal(path.stem): path for path in folder.rglob("*.ko")}
    order = []

    def add(name: str) -> None:
        path = index.get(name)
        if path is None or path in order:
            return  # None: built in
        for line in load(path).section(".modinfo").split(b"\0"):
            if line.startswith(b"depends="):
                for needed in filter(None, line[8:].decode().split(",")):
                    add(normal(needed))
        order.append(path)

    for name in _MODULES:
        add(name)
    return order
