"""A block device, a region of one, or a file, as hal.disk.Disk. Built by the boards."""

import os
import struct

from hal import errors
from hal.disk import Disk
from hal.linux.aio import DATASYNC, READ, WRITE, AioQueue
from hal.linux.libc import (
    EINVAL,
    O_CLOEXEC,
    O_DIRECT,
    O_RDONLY,
    O_RDWR,
    check,
    failure,
    libc,
    open_file,
)
from hal.loop import sleep_ms
from hal.native import PAGE_BYTES, address, errno

_S_IFMT = 0o170000
_S_IFBLK = 0o060000
_SEEK_END = 2
_BLKDISCARD = 0x1277  # linux/fs.h
_PUNCH_HOLE_KEEP_SIZE = 3  # linux/falloc.h
_DISCARD_STEP_BYTES = 32 << 20  # each step blocks the loop for as long as the kernel takes

# Below /sys/class/block/NAME/, or NAME/../ for a partition; the first that exists and is not empty counts.
_MODEL = ("device/model",)
_SERIAL = ("device/vpd_pg80", "device/serial", "serial", "device/wwid")


def _open_direct(path: str, access: int) -> int:
    fd = libc.open(path, access | O_DIRECT | O_CLOEXEC, 0)
    if fd < 0 and errno() == EINVAL:  # this filesystem has no O_DIRECT
        return open_file(path, access)
    return check(fd, "open " + path)


def _attribute(folder: str, names: tuple) -> str:
    for name in names:
        try:
            with open(folder + name, "rb") as file:
                raw = file.read()
        except OSError:
            continue
        if name.endswith("vpd_pg80"):
            raw = raw[4:]  # page header, SPC-4 7.8.15
        text = "".join([chr(byte) for byte in raw if 32 <= byte < 127]).strip()
        if text:
            return text
    return ""


class FileDisk(Disk):
    """`path` from `offset` for `length` bytes (None: to the end), through O_DIRECT where the filesystem has it."""

    def __init__(self, path: str, offset: int = 0, length=None, read_only: bool = False, depth: int = 32):
        self._fd = _open_direct(path, O_RDONLY if read_only else O_RDWR)
        try:
            end = check(libc.lseek(self._fd, 0, _SEEK_END), "size of " + path)
            if length is None:
                length = (end - offset) // self.align_bytes * self.align_bytes
            if offset % self.align_bytes or length % self.align_bytes or offset < 0 or length < 0:
                raise ValueError("%s: region %d+%d is not a multiple of %d" % (path, offset, length, self.align_bytes))
            if offset + length > end:
                raise errors.NotReady("%s: has %d bytes, expected %d" % (path, end, offset + length))
            self._queue = AioQueue(depth)
        except BaseException:
            libc.close(self._fd)
            raise
        self.name = path
        self.size_bytes = length
        self._start = offset
        self._read_only = read_only
        self._is_device = os.stat(path)[0] & _S_IFMT == _S_IFBLK
        self._can_discard = not read_only
        self._failed = None

    async def identify(self) -> dict:
        if not self._is_device:
            return {"model": "file " + self.name, "serial": "", "size_bytes": self.size_bytes}
        folder = "/sys/class/block/%s/" % self.name.split("/")[-1]
        try:
            os.stat(folder + "partition")
            folder += "../"
        except OSError:
            pass
        return {
            "model": _attribute(folder, _MODEL),
            "serial": _attribute(folder, _SERIAL),
            "size_bytes": self.size_bytes,
        }

    def _check_range(self, offset: int, length: int) -> None:
        if offset % self.align_bytes or length % self.align_bytes:
            raise ValueError("%s: %d+%d is not a multiple of %d" % (self.name, offset, length, self.align_bytes))
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise ValueError("%s: %d+%d is outside its %d bytes" % (self.name, offset, length, self.size_bytes))

    async def _transfer(self, command: int, verb: str, offset: int, buffer) -> None:
        length = len(buffer)
        self._check_range(offset, length)
        if length and address(buffer) % self.align_bytes:
            raise ValueError("%s: buffer is not aligned, take it from hal.native.aligned" % self.name)
        done = 0
        rest = memoryview(buffer)
        while done < length:
            result = await self._queue.transfer(command, self._fd, rest, self._start + offset + done)
            if result < 0:
                raise failure("%s: %s %d+%d" % (self.name, verb, offset, length), -result)
            done += result
            if result == 0 or done % PAGE_BYTES and done < length:
                raise errors.MediumError("%s: %s %d+%d ended after %d" % (self.name, verb, offset, length, done))
            rest = rest[result:]

    async def read(self, offset: int, buffer) -> None:
        await self._transfer(READ, "read", offset, buffer)

    async def write(self, offset: int, buffer) -> None:
        self._check_writable()
        await self._transfer(WRITE, "write", offset, buffer)

    def _check_writable(self) -> None:
        if self._read_only:
            raise errors.WriteProtected("%s: opened read-only" % self.name)
        if self._failed:
            raise errors.BusError("%s: an earlier flush failed, check the disk and restart" % self.name)

    async def flush(self) -> None:
        if self._read_only:
            return
        self._check_writable()
        result = await self._queue.transfer(DATASYNC, self._fd, None, 0)
        if result < 0:
            # The kernel reports a lost write once and then forgets it: a second flush would succeed without it.
            self._failed = True
            raise failure("%s: flush" % self.name, -result)

    async def discard(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        end = offset + length
        while offset < end and self._can_discard:
            step = min(_DISCARD_STEP_BYTES, end - offset)
            self._can_discard = self._discard_step(self._start + offset, step) >= 0
            offset += step
            await sleep_ms(0)

    def _discard_step(self, offset: int, length: int) -> int:
        if self._is_device:
            return libc.ioctl(self._fd, _BLKDISCARD, struct.pack("<QQ", offset, length))
        return libc.fallocate(self._fd, _PUNCH_HOLE_KEEP_SIZE, offset, length)

    async def close(self) -> None:
        await self._queue.close()
        libc.close(self._fd)
