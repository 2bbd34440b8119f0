"""hal.linux.disk: what it refuses, short transfers and errors of the kernel."""

import os

from hal import errors
from hal.linux.disk import FileDisk
from hal.linux.libc import EIO, ENODATA, ENOSPC, ETIMEDOUT, O_CREAT, O_RDWR, libc, open_file
from hal.native import aligned
from tests.contract.disk import filled, raises

PAGE = 4096


class _Kernel:
    """In place of the AioQueue: answers each transfer from a list and remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def transfer(self, command: int, fd: int, buffer, offset: int) -> int:
        self.asked.append((offset, len(buffer) if buffer is not None else None))
        return self.answers.pop(0)


def _file(size_bytes: int) -> str:
    path = "/var/tmp/bobbin-test-disk-%d" % libc.getpid()
    fd = open_file(path, O_RDWR | O_CREAT)
    libc.ftruncate(fd, size_bytes)
    libc.close(fd)
    return path


async def _with_disk(work, *arguments) -> None:
    path = _file(64 * PAGE)
    try:
        disk = FileDisk(path, *arguments)
        queue = disk._queue
        await work(disk)
        disk._queue = queue
        await disk.close()
    finally:
        os.unlink(path)


def _refused(kind, *arguments) -> None:
    try:
        FileDisk(*arguments)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def test_refuses_to_open():
    _refused(errors.NotReady, "/nonexistent/disk")
    path = _file(64 * PAGE + 100)
    try:
        _refused(errors.NotReady, path, PAGE, 64 * PAGE)
        _refused(errors.NotReady, path, 128 * PAGE, PAGE)
        _refused(ValueError, path, 512)
        _refused(ValueError, path, 0, 512)
        assert FileDisk(path).size_bytes == 64 * PAGE
    finally:
        os.unlink(path)


async def test_read_only():
    async def work(disk) -> None:
        await disk.read(0, aligned(PAGE))
        await disk.flush()
        await raises(errors.WriteProtected, disk.write(0, aligned(PAGE)))
        await disk.discard(0, PAGE)

    await _with_disk(work, 0, None, True)


async def test_short_transfers_are_continued():
    async def work(disk) -> None:
        disk._queue = kernel = _Kernel(PAGE, 2 * PAGE, PAGE)
        await disk.read(2 * PAGE, aligned(4 * PAGE))
        assert kernel.asked == [(3 * PAGE, 4 * PAGE), (4 * PAGE, 3 * PAGE), (6 * PAGE, PAGE)]
        disk._queue = _Kernel(PAGE, 0)
        await raises(errors.MediumError, disk.read(0, aligned(4 * PAGE)))
        disk._queue = _Kernel(100)
        await raises(errors.MediumError, disk.write(0, aligned(PAGE)))

    await _with_disk(work, PAGE)


async def test_errors_of_the_kernel():
    async def work(disk) -> None:
        for code, kind in (
            (EIO, errors.MediumError),
            (ENODATA, errors.MediumError),
            (ENOSPC, errors.NoSpace),
            (ETIMEDOUT, errors.Timeout),
            (121, errors.BusError),
        ):
            disk._queue = _Kernel(-code, -code)
            await raises(kind, disk.read(0, aligned(PAGE)))
            await raises(kind, disk.write(0, aligned(PAGE)))

    await _with_disk(work)


async def test_failed_flush_is_final():
    """The kernel would forget the lost write and let a second flush succeed."""

    async def work(disk) -> None:
        await disk.write(0, filled(PAGE, 1))
        disk._queue = kernel = _Kernel(-EIO)
        await raises(errors.MediumError, disk.flush())
        await raises(errors.BusError, disk.flush())
        await raises(errors.BusError, disk.write(0, aligned(PAGE)))
        assert len(kernel.asked) == 1

    await _with_disk(work)
