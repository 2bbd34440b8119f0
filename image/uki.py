"""The unified kernel image: stub, kernel, initramfs and command line in one PE file. Used by `image.image`."""

from image import firmware, modules, pe, tables
from image.paths import ROOTFS

_STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"


def os_release() -> str:
    """What systemd-boot shows and sorts the slots by (os-release(5)): the newest version is the default."""
    version = firmware.version()
    return 'ID=bobbin\nNAME="Bobbin"\nPRETTY_NAME="Bobbin %s"\nVERSION_ID="%s"\n' % (version, version)


def build(initramfs: bytes) -> bytes:
    """`initramfs` is the compressed archive."""
    release = modules.kernel_release()
    return pe.append_sections((ROOTFS / _STUB).read_bytes(), [
        (".osrel", os_release().encode()),
        (".cmdline", tables.COMMAND_LINE.encode() + b"\0"),
        (".uname", release.encode()),
        (".initrd", initramfs),
        (".linux", (ROOTFS / "boot" / ("vmlinuz-" + release)).read_bytes()),
    ])
