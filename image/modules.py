"""Kernel modules of the image: the ones that the boards name, with what they depend on and the hardware they fit.

The result is a text table in the initramfs, read at boot by `hal.linux.modules`; no depmod, no modprobe.
"""

import importlib
import lzma
import re
from pathlib import Path

from image import tables
from image.elf import Elf
from image.paths import ROOTFS, BuildError

# modules.alias patterns of PCI, Documentation and scripts/mod/file2alias.c of the kernel.
_PCI = re.compile(r"pci:v(\w{8}|\*)d(\w{8}|\*)sv(?:\w{8}|\*)sd(?:\w{8}|\*)bc(\w\w|\*)sc(\w\w|\*)i(\w\w|\*)\*?$")


def normal(name: str) -> str:
    """The kernel takes - and _ for the same in module names."""
    return name.replace("-", "_")


def unpacked(path: Path) -> bytes:
    """A file as the image holds it: kernel modules without their .xz, since zstd, which packs the whole, unpacks faster."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


class Module:
    """`name`, `path` (.ko.xz in the rootfs), `depends` (names), `keys` (hardware, see `pci_key`)."""

    def __init__(self, path: Path):
        self.path = path
        self.name = normal(path.name.split(".ko")[0])
        info = Elf(unpacked(path), path.name).section(".modinfo")
        pairs = [line.decode("utf-8", "replace").partition("=")[::2] for line in info.split(b"\0") if line]
        self.depends = [normal(name) for key, value in pairs if key == "depends" for name in value.split(",") if name]
        keys = {pci_key(value) for key, value in pairs if key == "alias" and value.startswith("pci:")}
        self.keys = sorted(keys.union(tables.BUS_KEYS.get(self.name, ())))


def pci_key(alias: str) -> str:
    """ "8086:10d3" for a device, "*:0106" or "1b4b:0106" for a class (hexadecimal), from a modalias pattern.

    Subsystem ids are dropped: a module loaded once too often does no harm.
    """
    match = _PCI.match(alias)
    if not match:
        raise BuildError("PCI alias %s has an unknown form: extend image/modules.py" % alias)
    vendor, device, base, sub, interface = (part.lower() for part in match.groups())
    vendor = vendor[4:] if vendor != "*" else "*"
    if device != "*":
        return "%s:%s" % (vendor, device[4:])
    return "%s:c%s" % (vendor, "".join(part for part in (base, sub, interface) if part != "*"))


def _index() -> dict:
    folders = sorted((ROOTFS / "usr/lib/modules").iterdir())
    if len(folders) != 1:
        raise BuildError("build/rootfs has %d kernels, expected 1: delete build/rootfs" % len(folders))
    return {normal(path.name.split(".ko")[0]): path for path in folders[0].rglob("*.ko.xz")}


def kernel_release() -> str:
    return sorted((ROOTFS / "usr/lib/modules").iterdir())[0].name


def wanted() -> list:
    """Names in the boards' tables, in order, each once."""
    names = []
    for board in tables.BOARDS:
        names += [normal(name) for name in importlib.import_module(board).TABLE["modules"]]
    return list(dict.fromkeys(names))


def collect() -> dict:
    """{name: Module} of everything wanted and what it depends on. Raises BuildError for a module the kernel has not."""
    index, found, queue = _index(), {}, wanted()
    while queue:
        name = queue.pop()
        if name in found:
            continue
        if name not in index:
            raise BuildError("kernel %s has no module %s: correct the board tables" % (kernel_release(), name))
        found[name] = Module(index[name])
        queue += found[name].depends
    return found


def table(found: dict) -> str:
    """One line per module: name, its dependencies in the order to load, hardware keys ("-" where none)."""
    lines = []
    for name in sorted(found):
        needs = []
        _order(name, found, needs)
        lines.append("%s %s %s\n" % (name, ",".join(needs[:-1]) or "-", ",".join(found[name].keys) or "-"))
    return "".join(lines)


def _order(name: str, found: dict, done: list) -> None:
    for need in found[name].depends:
        _order(need, found, done)
    if name not in done:
        done.append(name)
