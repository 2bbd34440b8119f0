"""Loads kernel modules by the table that image/modules.py wrote, and only those whose hardware is there."""

from hal.errors import BusError, NotReady
from hal.linux.system import insert_module, names, read_text

FOLDER = "/lib/modules"
_PCI = "/sys/bus/pci/devices"


class ModuleTable:
    """`FOLDER/table`: {name: (dependencies in the order to load, hardware keys)}."""

    def __init__(self, folder: str = FOLDER):
        self._folder = folder
        self._rows = {}
        self._loaded = set()
        with open(folder + "/table") as table:
            for line in table:
                name, needs, keys = line.split()
                self._rows[name] = (_split(needs), _split(keys))

    def wants(self, name: str, present: set) -> bool:
        """A module without hardware keys is always wanted, one with keys if such a device is present."""
        keys = self._rows[name][1]
        return not keys or any(key in present for key in keys)

    def load(self, name: str, parameters: str = "") -> None:
        """Load `name` after what it depends on. Raises NotReady (unknown to the table), BusError."""
        name = name.replace("-", "_")
        if name not in self._rows:
            raise NotReady("module %s is not in the image: name it in the board's table" % name)
        for need in self._rows[name][0]:
            self._insert(need, "")
        self._insert(name, parameters)

    def load_present(self, wanted, parameters: dict) -> list:
        """Load those of `wanted` (names) that the hardware calls for; gives [(name, error)] of those that failed."""
        present, failed = pci_keys(), []
        for name in wanted:
            name = name.replace("-", "_")
            if self.wants(name, present):
                try:
                    self.load(name, parameters.get(name, ""))
                except (BusError, NotReady) as error:
                    failed.append((name, str(error)))
        return failed

    def _insert(self, name: str, parameters: str) -> None:
        if name not in self._loaded:
            insert_module("%s/%s.ko" % (self._folder, name), parameters)
            self._loaded.add(name)


def _split(text: str) -> list:
    return [] if text == "-" else text.split(",")


def keys_of(vendor: str, device: str, kind: str) -> list:
    """Every key of the table that fits a PCI function; arguments as sysfs has them: "0x8086", "0x10d3", "0x020000"."""
    vendor, device, kind = vendor[2:], device[2:], kind[2:]
    found = ["%s:%s" % (vendor, device)]
    # A class key names one, two or three bytes of the class code (PCI Code and ID Assignment).
    for maker in (vendor, "*"):
        found += ["%s:c%s" % (maker, kind[:length]) for length in (2, 4, 6)]
    return found


def pci_keys(folder: str = _PCI) -> set:
    """Keys of all PCI functions of this machine."""
    found = set()
    for function in names(folder):
        base = "%s/%s/" % (folder, function)
        found.update(keys_of(read_text(base + "vendor"), read_text(base + "device"), read_text(base + "class")))
    return found
