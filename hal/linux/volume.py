"""The data disk of a UEFI board: GPT, an ext4 partition for the catalog, a raw one for the segments. Used by `hal.linux.pc`."""

from hal.errors import BusError, CorruptData, HalError, NoSpace, NotReady
from hal.linux import gpt
from hal.linux.libc import O_CLOEXEC, O_RDWR, check, libc
from hal.linux.system import MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID, is_mounted, mount, names, read_text, spawn, unmount
from hal.loop import now_ms, sleep_ms
from hal.machine import BLANK, FOREIGN, OURS

MOUNT_POINT = "/mnt"
_MIB = 1 << 20
_GIB = 1 << 30
_SMALLEST = 1 * _GIB
_BLKRRPART = 0x125F  # linux/fs.h
_MKE2FS = "/usr/sbin/mke2fs"
_OUTPUT = "/tmp/mke2fs.log"
# Journalled metadata after the data they describe; a broken filesystem stops being written, the store reports it.
_OPTIONS = "data=ordered,errors=remount-ro"


def catalog_bytes(disk_bytes: int) -> int:
    """Size of the catalog partition: 5 % of the disk, 256 MiB to 64 GiB, at most a quarter; whole MiB."""
    wanted = max(256 * _MIB, min(64 * _GIB, disk_bytes // 20))
    return min(wanted, disk_bytes // 4) // _MIB * _MIB


def layout(disk_bytes: int) -> list:
    """Partitions as `gpt.build` takes them. The first and last MiB stay free for the tables."""
    if disk_bytes < _SMALLEST:
        raise NoSpace("the data disk has %d MiB, at least %d MiB are needed" % (disk_bytes // _MIB, _SMALLEST // _MIB))
    catalog = catalog_bytes(disk_bytes)
    rest = (disk_bytes // _MIB - 2) * _MIB - catalog
    return [
        (gpt.CATALOG_TYPE, "bobbin-catalog", _MIB, catalog),
        (gpt.STORE_TYPE, "bobbin-store", _MIB + catalog, rest),
    ]


def probe(device) -> str:
    """BLANK, FOREIGN or OURS for a `hal.linux.block.BlockDevice`. Raises BusError when it cannot be read."""
    if device.partition(gpt.CATALOG_TYPE) and device.partition(gpt.STORE_TYPE):
        return OURS
    try:
        with open(device.path, "rb") as disk:
            if any_set(disk.read(_MIB)):
                return FOREIGN
            disk.seek(device.size_bytes // _MIB * _MIB - _MIB)
            return FOREIGN if any_set(disk.read(2 * _MIB)) else BLANK
    except OSError as error:
        raise BusError("%s cannot be read: %s" % (device.path, error))


def any_set(data: bytes) -> bool:
    return data != bytes(len(data))


async def format_device(device) -> None:
    """Destroy what the disk holds and lay it out anew. Raises NoSpace, NotReady (in use), BusError."""
    partitions = layout(device.size_bytes)
    start, end = gpt.build(device.size_bytes, device.sector_bytes, partitions)
    handle = check(libc.open(device.path, O_RDWR | O_CLOEXEC, 0), "open " + device.path)
    try:
        # The old contents first: a cut between the steps must leave a disk that is not taken for ours.
        _write(handle, device.size_bytes - _MIB, bytes(_MIB - len(end)) + end)
        for _, _, offset, _ in partitions:
            _write(handle, offset, bytes(_MIB))
        _write(handle, 0, start + bytes(_MIB - len(start)))
        check(libc.fsync(handle), "flush " + device.path)
        check(libc.ioctl(handle, _BLKRRPART, None), "read the partition table of " + device.path)
    finally:
        libc.close(handle)


def _write(handle: int, offset: int, data: bytes) -> None:
    written = check(libc.pwrite(handle, data, len(data), offset), "write partition table")
    if written != len(data):
        raise BusError("write partition table: %d of %d bytes written" % (written, len(data)))


async def wait_for(path: str, timeout_ms: int) -> None:
    """Until the device node is there. Raises NotReady."""
    folder, _, name = path.rpartition("/")
    deadline = now_ms() + timeout_ms
    while name not in names(folder):
        if now_ms() > deadline:
            raise NotReady("%s did not appear within %d s" % (path, timeout_ms // 1000))
        await sleep_ms(20)


async def make_filesystem(path: str) -> None:
    """ext4 on the partition; its tables are zeroed later, by the kernel, so it takes seconds on any disk."""
    await wait_for(path, 5000)
    code = await spawn(
        [_MKE2FS, "-q", "-F", "-t", "ext4", "-L", "bobbin-catalog", "-m", "0", "-E", "nodiscard,lazy_itable_init=1", path],
        _OUTPUT,
        300000,
    )
    if code:
        raise BusError("mke2fs on %s failed (exit %d): %s" % (path, code, read_text(_OUTPUT)))


async def attach(path: str) -> None:
    """Mount the catalog's filesystem on MOUNT_POINT; its journal is replayed. Raises CorruptData, NotReady."""
    await wait_for(path, 5000)
    if is_mounted(MOUNT_POINT):
        return
    try:
        mount(path, MOUNT_POINT, "ext4", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, _OPTIONS)
    except NotReady:
        raise
    except HalError as error:
        raise CorruptData("the catalog's filesystem cannot be mounted (%s): rebuild the catalog" % error)


def detach() -> None:
    if is_mounted(MOUNT_POINT):
        unmount(MOUNT_POINT)
