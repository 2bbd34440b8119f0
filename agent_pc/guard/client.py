"""The agent's side of the guarded mount: a guard of afm (frozen reading) and a source of fda (written regions)."""

import os
import secrets
import stat

from agent_pc.fda.regions import Regions
from agent_pc.fda.source import Moment, Source
from agent_pc.guard import names

_TRIES = 8
_TYPE = b"fuse." + names.SUBTYPE.encode()
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def mounts() -> list:
    """[(mount point, source)] of the guarded mounts, the last one first."""
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields, _, rest = line.partition(b" - ")
            kind, source, *_ = rest.split()
            if kind == _TYPE:
                found.append((_plain(fields.split()[4]), _plain(source)))
    return found[::-1]


def _plain(text: bytes) -> bytes:
    """Ref: proc_pid_mountinfo(5): octal escapes."""
    for code in (b"040", b"011", b"012", b"134"):
        text = text.replace(b"\\" + code, bytes([int(code, 8)]))
    return text


def open_frozen(path: bytes, guarded: list | None = None) -> tuple | None:
    """(handle, stat as `path` has it) of the regular file as it is now and stays for this handle; None if no guarded mount holds it."""
    for mount, source in mounts() if guarded is None else guarded:
        for base in (mount, source):
            if path.startswith(base.rstrip(b"/") + b"/"):
                try:
                    return _frozen(path, mount, path[len(base.rstrip(b"/")) + 1 :])
                except OSError:
                    return None
    return None


def _frozen(path: bytes, mount: bytes, inner: bytes) -> tuple | None:
    seen = os.lstat(path)
    if not stat.S_ISREG(seen.st_mode):
        return None
    for _ in range(_TRIES):
        name = os.path.join(mount, names.DIRECTORY.encode(), secrets.token_hex(8).encode(), inner)
        handle = os.open(name, _OPEN)
        row = dict(zip(names.STAT_FIELDS, names.STAT_ROW.unpack(os.getxattr(handle, names.STAT)), strict=True))
        if os.fstat(handle).st_size == row["st_size"]:  # else the kernel asked for the size a moment before the file was opened
            return handle, _status(row, seen.st_dev)
        os.close(handle)
    return None


def _status(row: dict, device: int) -> os.stat_result:
    """Of the moment, with the device that the scan sees."""
    times = [row[field] // 10**9 for field in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")]
    first = [row[field] for field in ("st_nlink", "st_uid", "st_gid", "st_size")]
    return os.stat_result((row["st_mode"], row["st_ino"], device, *first, *times), row)


def broken(handle: int) -> str:
    """Why a frozen file is no longer what it was; empty: it is."""
    try:
        return os.getxattr(handle, names.STATE).decode()
    except OSError as error:
        return f"the guarded mount went away: {error.strerror}"


class GuardLog(Source):
    """Regions by the guards' logs."""

    def moment(self, path: bytes, handle: int) -> Moment | None:
        try:
            os.getxattr(handle, names.STATE)
            return _Logged(handle, False)
        except OSError:
            frozen = open_frozen(path)  # `handle` is not a frozen one
        return _Logged(frozen[0], True) if frozen is not None else None

    def drop(self, signature: bytes) -> None:
        for mount, _ in mounts():
            try:
                os.setxattr(os.path.join(mount, names.DIRECTORY.encode()), names.DROP, signature)
            except OSError:
                pass  # not ours, or gone


class _Logged(Moment):
    def __init__(self, handle: int, own: bool):
        self.handle = handle
        self._own = own

    def changed(self, since: bytes) -> Regions | None:
        try:
            packed = os.getxattr(self.handle, names.CHANGED + since.hex())
        except OSError:
            return None
        return Regions(names.RANGE.iter_unpack(packed))

    def keep(self, signature: bytes) -> None:
        try:
            os.setxattr(self.handle, names.KEEP, signature)
        except OSError:
            pass  # then the next backup reads it all

    def close(self) -> None:
        if self._own:
            os.close(self.handle)
