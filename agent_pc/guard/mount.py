"""The guarded mount: `bobbin guard SOURCE MOUNTPOINT` runs it until SIGTERM, SIGINT or umount."""

import hashlib
import os
import resource
import time

import mfusepy

from agent_pc.exits import AgentError
from agent_pc.fda.regions import Regions
from agent_pc.guard import names
from agent_pc.guard.inodes import Hold, Inodes
from agent_pc.guard.log import Log
from agent_pc.guard.passthrough import Passthrough, attributes
from agent_pc.guard.spool import Spool

_TOP = "/" + names.DIRECTORY
_SIGNALLED = 8  # fuse_main: ended by a signal, or the device went away
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2  # tv_nsec. Ref: utimensat(2)


class FrozenFile:
    """A Hold as an open file; `handle` is a number of its own among the open files."""

    def __init__(self, hold: Hold):
        self.hold = hold
        self.handle = hold.frozen.handle
        self.close = hold.close


class Guarded(Passthrough):
    """Passthrough, and below names.DIRECTORY every file as it is when it is opened."""

    def __init__(self, root: int, inodes: Inodes):
        super().__init__(root, inodes)
        self._holds: dict = {}  # path -> FrozenFile; each path has a nonce, so it is opened once

    def _inner(self, path: str):
        """Path below the source of a frozen name; "" for the directories above; None for all others."""
        if path != _TOP and not path.startswith(_TOP + "/"):
            return None
        rest = path[len(_TOP) + 1 :].partition("/")[2]
        return "/" + rest if rest else ""

    def getattr(self, path: str, fh=None) -> dict:
        inner = self._inner(path)
        if inner is None:
            return super().getattr(path, fh)
        held = self._holds.get(path)
        if held is not None:
            return attributes(held.hold.frozen.status)
        found = attributes(os.lstat(self.real(inner)))
        if not inner:
            found.update(st_mode=0o40700, st_uid=os.geteuid(), st_gid=os.getegid(), st_ino=1)
        return found

    def open(self, path: str, flags: int) -> int:
        inner = self._inner(path)
        if inner is None:
            return super().open(path, flags)
        if flags & os.O_ACCMODE != os.O_RDONLY or path in self._holds:
            raise PermissionError(1, "a frozen file is for reading, once")
        handle = os.open(self.real(inner), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        held = self._holds[path] = FrozenFile(self._inodes.freeze(handle))
        return self._add(held)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        opened = self.open_files[fh]
        return opened.hold.read(offset, size) if isinstance(opened, FrozenFile) else super().read(path, size, offset, fh)

    def release(self, path: str, fh: int) -> int:
        self._holds.pop(path, None)
        return super().release(path, fh)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if self._inner(path) is None:
            return super().getxattr(path, name, position)
        hold = self._hold(path)
        if name == names.STATE:
            return hold.frozen.broken.encode()
        if name == names.STAT:
            return names.STAT_ROW.pack(*[getattr(hold.frozen.status, field) for field in names.STAT_FIELDS])
        if name == names.SAVED:
            return b"".join([names.RANGE.pack(*row) for row in hold.saved()[: names.RANGES]])
        regions = self._inodes.changed(hold, name[len(names.CHANGED) :]) if name.startswith(names.CHANGED) else None
        if regions is None:
            raise OSError(mfusepy.ENOATTR, "not known")
        return b"".join([names.RANGE.pack(*row) for row in Regions(regions, names.RANGES)])

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        if self._inner(path) is None:
            return super().setxattr(path, name, value, options, position)
        if name == names.KEEP:
            self._inodes.keep(self._hold(path), value.hex())
        elif name == names.RELEASE:
            self._hold(path).release(*names.RANGE.unpack(value))
        elif name == names.DROP and path == _TOP:
            self._inodes.drop(value.hex())
        else:
            raise OSError(mfusepy.errno.EOPNOTSUPP, name)
        return 0

    def _hold(self, path: str) -> Hold:
        held = self._holds.get(path)
        if held is None:
            raise OSError(mfusepy.ENOATTR, "not open")
        return held.hold

    def _outside(self, path: str) -> None:
        if self._inner(path) is not None:
            raise PermissionError(1, f"{names.DIRECTORY} is the guard's own")


def _refused(name: str):
    def method(self, path: str, *arguments):
        self._outside(path)
        return getattr(Passthrough, name)(self, path, *arguments)

    return method


for _name in [
    "mkdir",
    "mknod",
    "symlink",
    "link",
    "rename",
    "unlink",
    "rmdir",
    "chmod",
    "chown",
    "truncate",
    "create",
    "utimens",
    "removexattr",
]:
    setattr(Guarded, _name, _refused(_name))


class _Fuse(mfusepy.FUSE):
    """What mfusepy passes on incompletely."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        if flags:
            return -mfusepy.errno.EINVAL  # programs then do without RENAME_NOREPLACE and RENAME_EXCHANGE
        return self.rename_fuse_2(old, new)

    def utimens_fuse_3(self, path: bytes, buf, fip) -> int:
        times = (buf.contents.actime, buf.contents.modtime) if buf else None
        self.operations.utimens(path.decode(self.encoding, self.errors), times and tuple([_ns(row) for row in times]))
        return 0


def _ns(row) -> int | None:
    if row.tv_nsec == _OMIT:
        return None
    return time.time_ns() if row.tv_nsec == _NOW else row.tv_sec * 10**9 + row.tv_nsec


def state_directory(base: str, source: str) -> str:
    """Where the log of a mount of `source` lies."""
    return os.path.join(base, "guard", hashlib.blake2b(os.fsencode(source), digest_size=8).hexdigest())


def run(source: str, mountpoint: str, base: str, spool_bytes: int) -> None:
    """Mount, serve, and stop cleanly. `source`, `mountpoint`: absolute. Raises AgentError, OSError."""
    directory = state_directory(base, source)
    log = Log(directory)
    root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    spool = Spool(directory, spool_bytes)
    operations = Guarded(root, Inodes(os.fstat(root).st_dev, log, spool))
    os.umask(0)  # the kernel has applied the program's
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # of all programs together
    code = _serve(operations, source, mountpoint)
    spool.close()
    log.close()
    if code not in (0, _SIGNALLED):
        raise AgentError("STATE", f"{mountpoint}: cannot be mounted: libfuse ended with {code}")


def _serve(operations: Guarded, source: str, mountpoint: str) -> int:
    """libfuse's result, when nothing passes through the mount any more."""
    options = {"allow_other": True} if not os.geteuid() else {}
    try:
        _Fuse(
            operations,
            mountpoint,
            foreground=True,
            fsname=source.replace(",", "\\,"),
            subtype=names.SUBTYPE,
            use_ino=True,
            attr_timeout=0,  # hard links are one file under several names, which the kernel takes for several files
            default_permissions=True,
            **options,
        )
    except RuntimeError as error:
        return error.args[0]
    return 0
