"""What goes into the image, as tables. Read by the other modules of image/ and by the test of the bill of materials."""

SUITE = "trixie"

# Debian packages that are extracted (with their dependencies) into build/rootfs. The host board runs from there too.
PACKAGES = (
    "linux-image-amd64",
    "systemd-boot-efi",
    "micropython",
    "e2fsprogs",
    "libaio1t64",
    "libb2-1",
    "libisal2",
    "libiscsi7",
    "liblmdb0",
    "libmbedtls21",
    "librsync2t64",
    "libssl3t64",
    "liburing2",
    "libzstd1",
)

# Programs and libraries of the initramfs; what they are linked against is added by following ELF DT_NEEDED.
PROGRAMS = ("usr/bin/micropython", "usr/sbin/mke2fs")
LIBRARIES = (
    "libaio.so.1t64",
    "libb2.so.1",
    "libc.so.6",
    "libcrypto.so.3",
    "libffi.so.8",
    "libisal.so.2",
    "liblmdb.so.0",
    "libmbedcrypto.so.16",
    "libmbedtls.so.21",
    "libmbedx509.so.7",
    "librsync.so.2",
    "libssl.so.3",
    "libzstd.so.1",
)

# The image carries the modules of these boards: one image boots on each of them.
BOARDS = ("board.qemu_q35", "board.pc_x86_64")

# Folders compiled to .mpy. hal.sim is for tests.
SOURCES = ("firmware", "hal", "board")
LEFT_OUT = ("hal/sim", "board/host.py")

# Modules of devices that sit behind another bus: loaded where the PCI function that leads to that bus is there.
# Keys as image/modules.py makes them; c0c03 is USB, c0805 an SD host, 1af4 virtio (1000 and up legacy, 1040 and up modern).
BUS_KEYS = {
    "usb_storage": ("*:c0c03",),
    "uas": ("*:c0c03",),
    "mmc_block": ("*:c0805",),
    "virtio_net": ("1af4:1000", "1af4:1041"),
    "virtio_blk": ("1af4:1001", "1af4:1042"),
    "virtio_scsi": ("1af4:1004", "1af4:1048"),
    "realtek": ("10ec:c02",),
    "i2c_dev": ("*:c0c05",),
}

# Kernel command line. What follows "--" are the arguments of PID 1 (Documentation/admin-guide/kernel-parameters).
# panic_on_oops with panic: an appliance that half works is worse than one that reboots, and the log of a panic goes to
# EFI variables. The self-tests left out, all of code that the appliance does not use, take a second under TCG.
HEAP = "48m"
COMMAND_LINE = " ".join(
    (
        "quiet loglevel=4 console=tty0 console=ttyS0,115200",
        "panic=10 oops=panic",
        "no_timer_check cryptomgr.notests initcall_blacklist=crypto_kdf108_init,jent_mod_init",
        "rdinit=/usr/bin/micropython -- -X heapsize=%s -m init" % HEAP,
    )
)

# GPT of the flash image. The GUIDs are fixed: the same commit gives the same bytes, and the firmware knows its flash
# disk by the type GUID of the config partition.
DISK_GUID = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D000000"
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ESP_GUID = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D000001"
CONFIG_GUID = "6B0BB1A0-0B0B-4B1A-9C0D-B0BB1D000002"
ALIGN_BYTES = 1 << 20
ESP_BYTES = 72 << 20
CONFIG_BYTES = 2 << 20
ESP_VOLUME_ID = "B0BB1D00"

# Slots are unified kernel images where systemd-boot looks for them (UAPI group, Boot Loader Specification, type 2).
SLOT_A = "/EFI/Linux/bobbin-a.efi"
SLOT_B = "/EFI/Linux/bobbin-b.efi"
LOADER = "/EFI/BOOT/BOOTX64.EFI"
LOADER_CONFIG = "timeout 0\neditor no\nconsole-mode keep\nauto-firmware no\n"
BILL = "/bobbin/sbom.spdx.json"

CONTENT_LIMIT_BYTES = 32 << 20
