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
    "liburing2",
    "libzstd1",
)

# Programs and libraries of the initramfs; what they are linked against is added by following ELF DT_NEEDED.
PROGRAMS = ("usr/bin/micropython", "usr/sbin/mke2fs")
LIBRARIES = (
    "libaio.so.1t64",
    "libb2.so.1",
    "libc.so.6",
    "libffi.so.8",
    "libisal.so.2",
    "liblmdb.so.0",
    "libmbedcrypto.so.16",
    "libmbedtls.so.21",
    "libmbedx509.so.7",
    "libzstd.so.1",
)

# The image carries the modules of these boards: one image boots on each of them.
BOARDS = ("board.qemu_q35", "board.pc_x86_64")

# Folders compiled to .mpy. hal.sim is for tests.
SOURCES = ("firmware", "hal", "board")
LEFT_OUT = ("hal/sim", "board/host.py")

# Kernel command line. What follows "--" are the arguments of PID 1 (Documentation/admin-guide/kernel-parameters).
# panic_on_oops with panic=: an appliance that half works is worse than one that reboots; the log goes to EFI variables.
HEAP = "48m"
COMMAND_LINE = (
    "quiet loglevel=4 console=tty0 console=ttyS0,115200 panic=10 panic_on_oops=1 oops=panic "
    "efi_pstore.pstore_disable=0 printk.always_kmsg_dump=0 usb-storage.delay_use=0 "
    "rdinit=/usr/bin/micropython -- -X heapsize=%s -m init" % HEAP
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
