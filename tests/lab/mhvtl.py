"""mhvtl, the full LTO drive: LOG SENSE, TapeAlert, MAM, early warning, a checksum on every block, a library that changes cartridges.

It is a kernel module with daemons, in no Debian package: environment BOBBIN_MHVTL (`build.py test --mhvtl TREE`) names a tree
that somebody has built for a kernel of Debian 12. Expected in it: kernel/mhvtl.ko, usr/libvtlscsi.so, and in usr/bin vtltape,
vtllibrary, mktape, edit_tape. A second machine in QEMU loads it and exports the drive by iSCSI (`mhvtl_guest`, `mhvtl_init.sh`).
"""

import os
import shutil
import socket
import struct
from pathlib import Path

from image.paths import SEARCH, run
from tests.lab import kvm
from tests.lab.mhvtl_guest import BARCODE, LIBRARY, Guest, release
from tests.lab.target import Target, main

_EXPECTED = (
    "kernel/mhvtl.ko",
    "usr/libvtlscsi.so",
    "usr/bin/vtltape",
    "usr/bin/vtllibrary",
    "usr/bin/mktape",
    "usr/bin/edit_tape",
)
_MACHINE = {True: ["-accel", "kvm", "-cpu", "host"], False: ["-accel", "tcg,thread=multi", "-cpu", "max"]}
_CHANGE_S = 60

# A cartridge is a folder: data.0, and in indx.0 for each block, little-endian, in 512 bytes: offset of the data, type, flags,
# number, length, length in the file.
_RECORD_BYTES = 512
_RECORD = struct.Struct("<QIIIII")
_FILEMARK = 3


class Mhvtl(Target):
    """The second machine with the drive, in DIRECTORY."""

    name = "mhvtl"
    start_s = 90

    def __init__(self, directory):
        super().__init__(directory)
        self.tree = Path(os.environ.get("BOBBIN_MHVTL", "")).resolve()

    @classmethod
    def missing(cls) -> str:
        return "" if os.environ.get("BOBBIN_MHVTL") else "no built mhvtl tree given: build.py test --mhvtl TREE"

    def _guest(self) -> Guest:
        """Raises FileNotFoundError where the tree lacks something, BuildError."""
        lost = [name for name in _EXPECTED if not (self.tree / name).exists()]
        if lost:
            raise FileNotFoundError("%s is not a built mhvtl tree: %s missing" % (self.tree, ", ".join(lost)))
        guest = Guest(release(self.tree / _EXPECTED[0]))
        guest.ensure()
        return guest

    def format(self, path: Path, size_mib: int) -> None:
        making = path.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        run(self._guest().on_host(self.tree, "mktape") + ["-C", making, "-H", making, "-l", LIBRARY, "-m", BARCODE,
            "-s", size_mib, "-t", "data", "-d", "LTO6"])  # fmt: skip
        (making / BARCODE).rename(path)
        making.rmdir()

    def blocks(self, path: Path):
        with open(path / "indx.0", "rb") as index:
            for record in iter(lambda: index.read(_RECORD_BYTES), b""):
                offset, kind, _, number, _, length = _RECORD.unpack_from(record)
                yield number, kind == _FILEMARK, offset, length

    def data_file(self, path: Path) -> Path:
        return path / "data.0"

    def _command(self, state: dict, cartridge: Path) -> list:
        guest = self._guest()
        (self.directory / "initrd").write_bytes(guest.initramfs())
        (self.directory / "log").write_bytes(b"")
        forward = "user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:%d-:3260" % state["ports"][0]
        return (
            ["qemu-system-x86_64", "-name", self.name, "-machine", "q35", "-m", "384", "-smp", "1", "-no-reboot"]
            + _MACHINE[kvm.works()] + ["-nodefaults", "-display", "none", "-kernel", str(guest.kernel), "-initrd", "initrd"]
            + ["-append", "quiet console=ttyS0 panic=-1 no_timer_check cryptomgr.notests cartridge=" + state["cartridge"]]
            + ["-chardev", "stdio,id=log,signal=off", "-serial", "chardev:log"]
            + ["-chardev", "socket,id=control,host=127.0.0.1,port=%d,server=on,wait=off" % state["ports"][1]]
            + ["-serial", "chardev:control", "-netdev", forward, "-device", "virtio-net-pci,netdev=lan,romfile="]
            + _share("tree", self.tree) + _share("cartridges", self.directory)
        )  # fmt: skip

    def _environment(self) -> dict:
        return {"PATH": SEARCH}

    def _is_up(self) -> bool:
        return b"READY" in (self.directory / "log").read_bytes()

    def _configure(self, state: dict, cartridge: Path) -> None:
        self.insert(state["cartridge"])

    def _url(self, state: dict) -> str:
        return "iscsi://127.0.0.1:%d/iqn.2024-01.net.bobbin.lab:lto/0" % state["ports"][0]

    def _control(self, *words: str) -> None:
        """One line to the machine's second serial port, one back. Raises RuntimeError unless it is "done"."""
        with socket.create_connection(("127.0.0.1", self.state["ports"][1]), _CHANGE_S) as line:
            line.sendall(" ".join(words).encode() + b"\n")
            with line.makefile("r", encoding="utf-8", errors="replace") as answers:
                said = answers.readline().strip()
        if said != "done":
            raise RuntimeError("mhvtl: %s: %s" % (" ".join(words), said or "no answer, see the log"))

    def eject(self) -> None:
        self._control("eject")

    def insert(self, cartridge: str, protected: bool = False) -> None:
        self._control("insert", cartridge, "on" if protected else "off")
        self._now_in_drive(cartridge)


def _share(tag: str, folder: Path) -> list:
    """A folder of this host as 9p."""
    path = str(folder).replace(",", ",,")
    only = ",readonly=on" if tag == "tree" else ""
    return ["-virtfs", "local,path=%s,mount_tag=%s,security_model=none%s" % (path, tag, only)]


if __name__ == "__main__":
    main(Mhvtl)
