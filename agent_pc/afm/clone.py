"""Copy-before-write by the filesystem: a clone shares the file's blocks until somebody writes to either. XFS, btrfs, bcachefs.

Ref: ioctl_ficlonerange(2), open(2) O_TMPFILE. A clone has no name: it needs no folder, no backup sees it, and the filesystem frees it
when it is closed, when the agent dies, or at the first mount after a crash.
"""

import errno
import fcntl
import os
import resource
import struct

from agent_pc.afm import plain
from agent_pc.afm.guard import Frozen, Guard

_FICLONE = 0x40049409
_GETFLAGS = 0x80086601
_SETFLAGS = 0x40086602
_NOCOW = 0x00800000  # btrfs clones between files that agree in it
_TRIES = 4
_SPARE = 512  # descriptors for everything else
# What a filesystem says that has no clones, or no files without a name.
_NEVER = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EISDIR, errno.ENOSYS)


def room(count: int) -> None:
    """Let this process hold `count` clones more, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


class Clone(Guard):
    """Remembers which filesystems cannot."""

    least_bytes = 4 << 20  # smaller files are read faster than anybody writes to them

    def __init__(self):
        self._never: set[int] = set()

    def open(self, path: bytes) -> Frozen | None:
        try:
            handle, status = plain.open_regular(path)
        except OSError:
            return None
        try:
            return None if status.st_dev in self._never else self._take(path, handle, status.st_dev)
        finally:
            os.close(handle)

    def _take(self, path: bytes, handle: int, device: int) -> Frozen | None:
        """A clone, and a stat that is of the same moment or older: a write that it does not show is found by the next backup."""
        for _ in range(_TRIES):
            before = os.fstat(handle)
            copy = self._cloned(path, handle, device)
            if copy is None:
                return None
            if os.fstat(copy).st_size == before.st_size:
                return Frozen(copy, plain.dated(before))
            os.close(copy)
        return None

    def _cloned(self, path: bytes, handle: int, device: int) -> int | None:
        copy = -1
        try:
            copy = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            _clone(copy, handle)
            return copy
        except OSError as error:
            if copy >= 0:
                os.close(copy)
            if error.errno in _NEVER:
                self._never.add(device)
            return None


def _clone(copy: int, handle: int) -> None:
    try:
        fcntl.ioctl(copy, _FICLONE, handle)
    except OSError as error:
        if error.errno != errno.EINVAL or not _flags(handle) & _NOCOW:
            raise
        fcntl.ioctl(copy, _SETFLAGS, struct.pack("l", _flags(copy) | _NOCOW))
        fcntl.ioctl(copy, _FICLONE, handle)


def _flags(handle: int) -> int:
    try:
        return struct.unpack("l", fcntl.ioctl(handle, _GETFLAGS, bytes(struct.calcsize("l"))))[0]
    except OSError:
        return 0
