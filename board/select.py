"""Which board this is. `firmware/main.py` calls `machine` once."""

from board import pc_x86_64, qemu_q35
from hal.linux.system import read_text

_PRODUCT = "/sys/class/dmi/id/product_name"
# The last one takes every UEFI box.
_BOARDS = (qemu_q35, pc_x86_64)


def detect(product: str):
    """The first board whose `product` text occurs in the DMI product name."""
    for module in _BOARDS:
        if module.TABLE["product"] in product:
            return module
    return _BOARDS[-1]


def machine(name: str, arguments: list):
    """hal.machine.Machine of the board `name` ("auto": by DMI). Raises ValueError for a name that is none."""
    if name == "auto":
        return detect(read_text(_PRODUCT)).build(arguments)
    if name == "host":
        from board import host

        return host.build(arguments)
    for module in _BOARDS:
        if module.TABLE["name"] == name:
            return module.build(arguments)
    known = ", ".join([module.TABLE["name"] for module in _BOARDS])
    raise ValueError("board %s does not exist: expected auto, host, %s" % (name, known))
