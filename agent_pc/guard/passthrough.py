"""FUSE operations that do to the source what programs do to the mount. guard.mount adds the frozen files.

Paths are text as mfusepy gives it (surrogateescape). The source is reached through a descriptor, so it may be mounted over.
"""

import ctypes
import errno
import os
import stat

import mfusepy

from agent_pc.guard.inodes import Inode, Inodes

_DROPPED = os.O_APPEND | os.O_TRUNC | os.O_DIRECT | os.O_EXCL | os.O_CREAT  # done by the kernel, or by us
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16  # fallocate(2)
_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blocks", "st_blksize")
_libc = ctypes.CDLL(None, use_errno=True)


class Opened:
    """An open file of a program."""

    def __init__(self, handle: int, inode: Inode):
        self.handle = handle
        self.inode = inode

    def close(self) -> None:
        os.close(self.handle)


class Passthrough(mfusepy.Operations):
    """`root`: descriptor of the source."""

    use_ns = True

    def __init__(self, root: int, inodes: Inodes):
        self._root = f"/proc/self/fd/{root}"
        self._inodes = inodes
        self.open_files: dict = {}

    def real(self, path: str) -> str:
        """Where a path of the mount lies now."""
        return self._root + path

    def _add(self, opened) -> int:
        handle = opened.handle
        self.open_files[handle] = opened
        return handle

    # -- what is there

    def getattr(self, path: str, fh=None) -> dict:
        return attributes(os.fstat(fh) if fh is not None and fh in self.open_files else os.lstat(self.real(path)))

    def readdir(self, path: str, fh: int):
        own = {"st_mode": stat.S_IFDIR, "st_ino": os.lstat(self.real(path)).st_ino}
        with os.scandir(self.real(path)) as listing:
            found = [(entry.name, {"st_mode": _type(entry), "st_ino": entry.inode()}, 0) for entry in listing]
        return [(".", own, 0), ("..", own, 0), *found]

    def readlink(self, path: str) -> str:
        return os.readlink(self.real(path))

    def statfs(self, path: str) -> dict:
        found = os.statvfs(self.real(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def listxattr(self, path: str):
        return os.listxattr(self.real(path), follow_symlinks=False)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        return os.getxattr(self.real(path), name, follow_symlinks=False)

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        os.setxattr(self.real(path), name, value, options, follow_symlinks=False)
        return 0

    def removexattr(self, path: str, name: str) -> int:
        os.removexattr(self.real(path), name, follow_symlinks=False)
        return 0

    # -- names

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self.real(path), mode)
        self._own(path)
        return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        os.mknod(self.real(path), mode, dev)
        self._own(path)
        return 0

    def symlink(self, target: str, source: str) -> int:
        """`target`: the new name."""
        os.symlink(source, self.real(target))
        self._own(target)
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self.real(source), self.real(target), follow_symlinks=False)
        return 0

    def rename(self, old: str, new: str) -> int:
        self._last_name(new)
        os.rename(self.real(old), self.real(new))
        return 0

    def unlink(self, path: str) -> int:
        self._last_name(path)
        os.unlink(self.real(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self.real(path))
        return 0

    def _last_name(self, path: str) -> None:
        """The name goes: with the last one the log of the file does."""
        try:
            status = os.lstat(self.real(path))
        except OSError:
            return
        if status.st_nlink == 1 and status.st_dev == self._inodes.device:
            self._inodes.forget(status.st_ino)

    def _own(self, path: str) -> None:
        """What a program made is the program's."""
        if os.geteuid():
            return
        uid, gid, _ = mfusepy.fuse_get_context()
        parent = os.lstat(os.path.dirname(self.real(path)))
        os.lchown(self.real(path), uid, -1 if parent.st_mode & stat.S_ISGID else gid)

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self.real(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.lchown(self.real(path), _id(uid), _id(gid))
        return 0

    def utimens(self, path: str, times=None) -> int:
        """`times`: (atime, mtime) in ns, None for one that stays; None for now."""
        real = self.real(path)
        status = os.lstat(real)
        if times is not None:
            times = tuple(
                [old if new is None else new for new, old in zip(times, (status.st_atime_ns, status.st_mtime_ns), strict=True)]
            )

        def act() -> None:
            os.utime(real, ns=times, follow_symlinks=False) if times else os.utime(real, follow_symlinks=False)

        if not stat.S_ISREG(status.st_mode):
            act()
            return 0
        handle = os.open(real, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._inodes.touch(self._inodes.of(handle), handle, act)
        finally:
            os.close(handle)
        return 0

    # -- contents

    def open(self, path: str, flags: int) -> int:
        handle = os.open(self.real(path), flags & ~_DROPPED | os.O_NOFOLLOW | os.O_CLOEXEC)
        opened = Opened(handle, self._inodes.of(handle))
        if flags & os.O_TRUNC and flags & os.O_ACCMODE != os.O_RDONLY:
            self._inodes.truncate(opened.inode, handle, 0)
        return self._add(opened)

    def create(self, path: str, mode: int, flags: int = os.O_RDWR) -> int:
        kept = flags & ~_DROPPED | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self.real(path), kept | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:  # made around the mount
            if flags & os.O_EXCL:
                raise
            return self.open(path, flags)
        self._inodes.forget(os.fstat(handle).st_ino)
        self._own(path)
        return self._add(Opened(handle, self._inodes.of(handle)))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        opened = self.open_files[fh]
        return self._inodes.write(opened.inode, fh, offset, offset + len(data), lambda: os.pwrite(fh, data, offset))

    def truncate(self, path: str, length: int, fh=None) -> int:
        handle = os.open(self.real(path), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._inodes.truncate(self._inodes.of(handle), handle, length)
        finally:
            os.close(handle)
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
            raise OSError(errno.EOPNOTSUPP, "collapsing and inserting move what follows")

        def act() -> None:
            if _libc.fallocate(fh, mode, ctypes.c_long(offset), ctypes.c_long(size)):
                raise OSError(ctypes.get_errno(), "fallocate")

        self._inodes.write(self.open_files[fh].inode, fh, offset, offset + size, act)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        (os.fdatasync if datasync else os.fsync)(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        handle = os.open(self.real(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return 0

    def release(self, path: str, fh: int) -> int:
        self.open_files.pop(fh).close()
        return 0


def attributes(status: os.stat_result) -> dict:
    """As mfusepy wants them."""
    found = {name: getattr(status, name) for name in _STAT}
    found.update(st_atime=status.st_atime_ns, st_mtime=status.st_mtime_ns, st_ctime=status.st_ctime_ns)
    return found


def _type(entry: os.DirEntry) -> int:
    """S_IFMT bits of a listed name; 0 for the rarer ones: then programs ask."""
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFDIR if entry.is_dir() else stat.S_IFREG if entry.is_file() else 0


def _id(number: int) -> int:
    """uid_t -1, leave as it is, comes unsigned."""
    return -1 if number == 0xFFFFFFFF else number
