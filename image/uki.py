"""The unified kernel image: stub, kernel, initramfs and command line in one PE file. Used by `image.image`."""

from image import firmware, modules, pe, tables
from image.paths import ROOTFS

STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"


def kernel() -> str:
    """Path of the kernel in the rootfs."""
    return "boot/vmlinuz-" + modules.kernel_release()


def os_release() -> str:
    """What systemd-boot shows and sorts the slots by (os-release(5)): the newest version is the default."""
    version = firmware.version()
    return 'ID=bobbin\nNAME="Bobbin"\nPRETTY_NAME="Bobbin %s"\nVERSION_ID="%s"\n' % (version, version)


def build(initramfs: bytes) -> bytes:
    """`initramfs` is the compressed archive."""
    return pe.append_sections(
        (ROOTFS / STUB).read_bytes(),
        [
            (".osrel", os_release().encode()),
            (".cmdline", tables.COMMAND_LINE.encode() + b"\0"),
            (".uname", modules.kernel_release().encode()),
            (".initrd", initramfs),
            (".linux", (ROOTFS / kernel()).read_bytes()),
        ],
    )
