"""QEMU's q35 machine with OVMF, as tests/lab/qemu.py starts it."""

# In the order of loading; what is wanted first comes first. Modules without hardware of their own (sd_mod, sg, filesystems)
# are always loaded, the others where a PCI function asks for them.
_MODULES = (
    "sd_mod", "sg", "ahci", "virtio_scsi", "mptsas", "megaraid_sas", "sym53c8xx",
    "xhci_pci", "usb_storage", "virtio_blk",
    "virtio_net", "e1000e",
    "crc32c_generic", "ext4",
    "i6300esb", "i2c_i801", "i2c_dev",
    "efi_pstore",
)  # fmt: skip

TABLE = {
    "name": "qemu_q35",
    # DMI product name; the first board whose text occurs in it is taken.
    "product": "Q35",
    "modules": _MODULES,
    # ahci: ports are probed while the other modules load.
    "parameters": {"ahci": "async_probe=1", "usb_storage": "delay_use=0"},
    "serials": (("/dev/ttyS0", 115200), ("/dev/ttyS1", 115200)),
    "watchdog": "/dev/watchdog0",
    "smbus": "SMBus I801",
    # Part of the sysfs path of disks that may become the data disk.
    "disk_bus": "/ata",
}


def build(arguments: list):
    """The machine; it takes no arguments."""
    from hal.linux.pc import PcMachine

    return PcMachine(TABLE)
