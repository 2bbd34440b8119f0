"""Any UEFI box with an AHCI disk, a wired LAN port and a SAS or SCSI adapter."""

# In the order of loading, see qemu_q35.py: disks and adapters, flash media, LAN, filesystem, board management.
_MODULES = (
    "sd_mod", "sg", "ahci", "mpt3sas", "mptsas", "mptspi", "megaraid_sas", "sym53c8xx", "aic7xxx", "virtio_scsi",
    "xhci_pci", "ehci_pci", "usb_storage", "uas", "sdhci_pci", "mmc_block", "virtio_blk",
    "e1000e", "igb", "igc", "realtek", "r8169", "tg3", "e1000", "virtio_net",
    "crc32c_intel", "crc32c_generic", "ext4",
    "iTCO_wdt", "i6300esb", "i2c_i801", "i2c_dev",
    "efi_pstore",
)  # fmt: skip

TABLE = {
    "name": "pc_x86_64",
    "product": "",
    "modules": _MODULES,
    # ahci: ports are probed while the other modules load.
    "parameters": {"ahci": "async_probe=1", "usb_storage": "delay_use=1"},
    "serials": (("/dev/ttyS0", 115200), ("/dev/ttyS1", 115200)),
    "watchdog": "/dev/watchdog0",
    "smbus": "SMBus I801",
    "disk_bus": "/ata",
}


def build(arguments: list):
    """The machine; it takes no arguments."""
    from hal.linux.pc import PcMachine

    return PcMachine(TABLE)
