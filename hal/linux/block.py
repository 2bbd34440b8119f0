"""Block devices of a UEFI board as sysfs shows them: which is the flash disk, which the data disk. Used by `hal.linux.pc`."""

from hal.errors import CorruptData
from hal.linux import gpt
from hal.linux.system import link_target, names, read_text

_CLASS = "/sys/block"
_KINDS = ("sd", "mmcblk", "vd")
_SECTOR_BYTES = 512  # of the `size` and `start` files, whatever the device's own sector is


class BlockDevice:
    """`path`, `size_bytes`, `sector_bytes` (logical), `model`, `serial`, `bus` (sysfs path), `partitions` ([] if the
    table is absent or broken)."""

    def __init__(self, name: str):
        base = "%s/%s/" % (_CLASS, name)
        self.path = "/dev/" + name
        self.size_bytes = int(read_text(base + "size") or "0") * _SECTOR_BYTES
        self.sector_bytes = int(read_text(base + "queue/logical_block_size") or "512")
        self.model = (read_text(base + "device/vendor") + " " + read_text(base + "device/model")).strip()
        self.bus = link_target(_CLASS + "/" + name)
        try:
            self.partitions = gpt.read(self.path, self.sector_bytes)
        except (CorruptData, OSError):
            self.partitions = []

    def partition(self, kind: str):
        """The first partition of a type, or None."""
        for partition in self.partitions:
            if partition.kind == kind:
                return partition
        return None

    def partition_path(self, partition) -> str:
        """/dev/sda1, but /dev/mmcblk0p1 (a digit at the end asks for the p)."""
        return "%s%s%d" % (self.path, "p" if self.path[-1].isdigit() else "", partition.number)


def devices() -> list:
    """Every disk with a medium, in the kernel's order; eMMC boot areas are not disks."""
    found = [BlockDevice(name) for name in names(_CLASS) if name.startswith(_KINDS) and "boot" not in name]
    return [device for device in found if device.size_bytes]


def flash_disk(found: list):
    """The disk that carries our config partition, or None."""
    for device in found:
        if device.partition(gpt.CONFIG_TYPE):
            return device
    return None


def data_disk(found: list, bus: str):
    """The disk on `bus` that is ours, else the first one there that is not the flash disk, else None."""
    flash = flash_disk(found)
    candidates = [device for device in found if device is not flash and bus in device.bus]
    for device in candidates:
        if device.partition(gpt.STORE_TYPE):
            return device
    return candidates[0] if candidates else None
