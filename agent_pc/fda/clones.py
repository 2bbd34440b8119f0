"""Regions by extents: a clone of every large file as it was backed up last, compared with a clone of it as it is now.

A clone shares its blocks with the file until one of them is written, so what both map to the same place is equal, and nothing is
read to know it. The clones lie in a hidden directory of the file's own filesystem. Used by fda.accelerator.
"""

import ctypes
import os

from agent_pc.fda import extents
from agent_pc.fda.regions import Regions
from agent_pc.fda.source import Moment, Source

DIRECTORY = b".bobbin-clones"
_MAGICS = (0x58465342, 0x9123683E)  # XFS, btrfs: their clones and extents mean what is said here
_OF = b"user.bobbin.of"  # the path a clone was made of
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Clones of files for Bobbin's differencing. Safe to delete.\n"
_libc = ctypes.CDLL(None, use_errno=True)


class Bounds:
    """Of one filesystem. `held_bytes`: what clones alone hold, at most; `free_share`: of the filesystem, below which they go."""

    def __init__(self, held_bytes: int = 16 << 30, free_share: float = 0.1):
        self.held_bytes = held_bytes
        self.free_share = free_share


class Clones(Source):
    """One for each backup."""

    def __init__(self, bounds: Bounds | None = None):
        self._bounds = bounds or Bounds()
        self._places: dict = {}  # device -> directory, None where there is none

    def moment(self, path: bytes, handle: int) -> Moment | None:
        place = self._place(path, handle)
        if place is None or self._short(place):
            return None
        try:
            return _Clone(place, path, handle)
        except OSError:
            return None

    def drop(self, signature: bytes) -> None:
        for place in self._known():
            _unlink(os.path.join(place, _name(signature)))

    def tidy(self) -> None:
        """Drop clones of files that are gone; then those that cost most, while all cost too much or space is short."""
        for place in self._known():
            rows = []
            for name in os.listdir(place):
                path = os.path.join(place, name)
                if len(name) == 64:
                    cost = _cost(path)
                    if cost is None:
                        _unlink(path)
                    else:
                        rows.append((cost, path))
            held = sum([cost for cost, _ in rows])
            for cost, path in sorted(rows, reverse=True):
                if held <= self._bounds.held_bytes and not self._short(place):
                    break
                _unlink(path)
                held -= cost

    def _known(self) -> list:
        return [place for place in self._places.values() if place is not None]

    def _short(self, place: bytes) -> bool:
        free = os.statvfs(place)
        return free.f_bavail < self._bounds.free_share * free.f_blocks

    def _place(self, path: bytes, handle: int) -> bytes | None:
        device = os.fstat(handle).st_dev
        if device not in self._places:
            try:
                self._places[device] = _directory(path, device) if _magic(handle) in _MAGICS else None
            except OSError:
                self._places[device] = None
        return self._places[device]


class _Clone(Moment):
    """The file as it is now, in a file without a name until it is kept."""

    def __init__(self, place: bytes, path: bytes, handle: int):
        self._place = place
        self._path = path
        self.handle = os.open(place, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            extents.clone(handle, self.handle)
        except BaseException:
            os.close(self.handle)
            raise

    def changed(self, since: bytes) -> Regions | None:
        try:
            old = os.open(os.path.join(self._place, _name(since)), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return extents.differing(old, os.fstat(old).st_size, self.handle, os.fstat(self.handle).st_size)
        except OSError:
            return None
        finally:
            os.close(old)

    def keep(self, signature: bytes) -> None:
        target = os.path.join(self._place, _name(signature))
        try:
            os.setxattr(self.handle, _OF, self._path)
            _unlink(target)
            # a directory, though not used, makes Python call linkat, which follows the link
            os.link(b"/proc/self/fd/%d" % self.handle, target, src_dir_fd=self.handle, follow_symlinks=True)
        except OSError:
            _unlink(target)

    def close(self) -> None:
        os.close(self.handle)


def _name(signature: bytes) -> bytes:
    return signature.hex().encode()


def _unlink(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _cost(path: bytes) -> int | None:
    """Bytes that a clone alone holds, None if its file is gone."""
    try:
        os.lstat(os.getxattr(path, _OF, follow_symlinks=False))
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return extents.exclusive_bytes(handle)
        finally:
            os.close(handle)
    except OSError:
        return None


def _magic(handle: int) -> int:
    """f_type of struct statfs. Ref: statfs(2)."""
    buffer = (ctypes.c_long * 32)()
    if _libc.fstatfs(handle, buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return buffer[0] & 0xFFFFFFFF


def _directory(path: bytes, device: int) -> bytes | None:
    """The hidden directory in the highest directory above `path` on its filesystem where it can be; made if need be."""
    parent, candidates = os.path.dirname(os.path.abspath(path)), []
    while os.stat(parent).st_dev == device:
        candidates.append(parent)
        if parent == b"/":
            break
        parent = os.path.dirname(parent)
    for parent in reversed(candidates):
        place = os.path.join(parent, DIRECTORY)
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)
            status = os.lstat(place)
            if status.st_uid == os.geteuid() and not os.path.islink(place) and status.st_mode & 0o077 == 0:
                _tag(place)
                return place
        except OSError:
            continue
    return None


def _tag(place: bytes) -> None:
    """Ref: Cache Directory Tagging Specification: backups leave it out."""
    path = os.path.join(place, b"CACHEDIR.TAG")
    if not os.path.exists(path):
        import tempfile  # only now: it takes time to load

        handle, temporary = tempfile.mkstemp(dir=place)
        os.write(handle, _TAG)
        os.close(handle)
        os.rename(temporary, path)
