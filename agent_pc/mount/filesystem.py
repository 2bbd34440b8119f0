"""The mount as FUSE sees it: `/VIEWNAME/...` for each view and `latest`, read-only. Run by agent_pc/mount/verb.py.

Ref: libfuse 3, fuse_operations; every operation may be called by any thread.
"""

import errno
import functools
import itertools
import stat
import time

import mfusepy

from agent_pc.exits import AgentError
from agent_pc.fdm.metadata import OWN
from agent_pc.listing import LABELS
from agent_pc.mount.contents import Bodies, Opened
from agent_pc.mount.forest import Forest, Place
from firmware.formats import dtf
from firmware.formats.refusal import Refusal

LATEST = b"latest"
LABEL = (
    "user.bobbin.label"  # how the contents were protected while they were read; not listed, so that copies stay as they were
)
_CACHE_S = 3600  # what a path within a view is never changes; the kernel may remember it
_PLUS = 2  # FUSE_FILL_DIR_PLUS: attributes come with the names
_UNIT = 512
_KNOWN = 512
_THREADS_SINCE = (3, 12)  # libfuse that takes max_threads
_THREADS = 8
_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)

# AgentError and Refusal names -> errno; others are EIO
_ERRNO = {
    "NOT_FOUND": errno.ENOENT,
    "UNREACHABLE": errno.EHOSTUNREACH,
    "AUTH": errno.EACCES,
    "CERTIFICATE": errno.EACCES,
    "BUSY": errno.EAGAIN,
    "NO_DISK": errno.ENODEV,
}


def _mapped(operation):
    """Errors as errno, with a line in the log."""

    @functools.wraps(operation)
    def run(self, path, *arguments):
        try:
            return operation(self, path, *arguments)
        except (AgentError, Refusal) as error:
            self.log(f"{path}: {operation.__name__}: {error}")
            raise OSError(_ERRNO.get(error.name, errno.EIO), str(error)) from None

    return run


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


class Filesystem(mfusepy.Operations):
    """`ready()` is called once it is mounted; `log(text)` takes one line."""

    use_ns = True

    def __init__(self, forest: Forest, bodies: Bodies, log, ready):
        self._forest = forest
        self._bodies = bodies
        self.log = log
        self._ready = ready
        self._open: dict[int, Opened] = {}
        self._numbers = itertools.count(1)
        self._known: dict[str, Place] = {}  # path -> directory
        self._shown: dict[bytes, dict] = {}  # packed extras -> attributes
        self._began_ns = time.time_ns()

    def init(self, path: str) -> None:
        self._ready()

    def _place(self, path: str) -> Place:
        """Raises OSError(ENOENT). The directory is remembered: what follows is mostly about its other entries."""
        above, _, name = path.rpartition("/")
        known = self._known.get(above)
        if known is not None and name:
            place = self._forest.child(known, _raw(name))
        else:
            names = [part for part in _raw(path).split(b"/") if part]
            view = self._forest.view(names[0]) if names else None
            place = self._forest.place(view, names[1:]) if view is not None else None
        if place is None:
            raise OSError(errno.ENOENT, path)
        if place.above is not None:
            if len(self._known) > _KNOWN:
                self._known.clear()
            self._known[above] = place.above
        return place

    @_mapped
    def getattr(self, path: str, fh=None) -> dict:
        if path == "/":
            return _directory(self._began_ns, 1)
        if _raw(path) == b"/" + LATEST and self._forest.latest():
            return {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1, "st_ino": 2, "st_size": len(self._forest.latest())}
        return attributes(self._place(path))

    @_mapped
    def readdir(self, path: str, fh: int):
        """[(name, attributes, 0)]."""
        if path == "/":
            views = self._forest.views()
            tops = [(_text(name), attributes(self._place("/" + _text(name))), 0) for name in sorted(views)]
            return tops + ([(_text(LATEST), self.getattr("/" + _text(LATEST)), 0)] if views else [])
        place = self._place(path)
        if place.entry.type != dtf.DIRECTORY:
            raise OSError(errno.ENOTDIR, path)
        if place.entry.ref[0] != dtf.NODE_REF:
            return []
        directory = self._forest.listing(place)
        self._bodies.ahead(self._forest.ahead, directory)
        if directory.lost:
            self.log(f"{path}: a part of the directory is lost")
        return [(_text(entry.name), attributes(Place(place.view, entry, directory, place)), 0) for entry in directory.entries]

    @_mapped
    def readlink(self, path: str) -> str:
        if _raw(path) == b"/" + LATEST:
            return _text(self._forest.latest())
        entry = self._place(path).entry
        if entry.type != dtf.SYMLINK:
            raise OSError(errno.EINVAL, path)
        return _text(entry.target)

    @_mapped
    def listxattr(self, path: str) -> list:
        return [_text(name) for name in self._extras(path)]

    @_mapped
    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        extras = self._extras(path)
        if name == LABEL and _raw(name) not in extras:
            return self._label(path)
        if _raw(name) not in extras:
            raise OSError(errno.ENODATA, name)
        return extras[_raw(name)]

    def _extras(self, path: str) -> dict:
        if path == "/" or _raw(path) == b"/" + LATEST:
            return {}
        entry = self._place(path).entry
        tail = entry.tail
        if tail not in self._shown:  # most entries have the same: the owner's names
            if len(self._shown) > _KNOWN:
                self._shown.clear()
            self._shown[tail] = {name: value for name, value in entry.extras() if not name.startswith(OWN)} if tail else {}
        return self._shown[tail]

    def _label(self, path: str) -> bytes:
        entry = self._place(path).entry if path != "/" else None
        if entry is None or entry.type != dtf.REGULAR or entry.label >= len(LABELS):
            raise OSError(errno.ENODATA, LABEL)
        return LABELS[entry.label].encode()

    @_mapped
    def open(self, path: str, flags: int) -> int:
        number = next(self._numbers)
        self._open[number] = Opened(self._bodies, self._place(path))
        return number

    @_mapped
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return self._open[fh].read(offset, size)

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0


def _directory(time_ns: int, inode: int) -> dict:
    return {
        "st_mode": stat.S_IFDIR | 0o755,
        "st_nlink": 1,  # says nothing of the number of directories in it
        "st_ino": inode,
        "st_mtime": time_ns,
        "st_ctime": time_ns,
        "st_atime": time_ns,
    }


def attributes(place: Place) -> dict:
    """What `stat` shows of an entry."""
    entry = place.entry
    if place.parent is None:
        return _directory(place.view.time_ns, place.inode)
    kind = entry.type
    device = kind in (dtf.CHARACTER, dtf.BLOCK)
    size = len(entry.target) if kind == dtf.SYMLINK else entry.size if kind == dtf.REGULAR else 0
    return {
        "st_mode": _KINDS[kind] | entry.mode,
        "st_nlink": 2 if kind == dtf.REGULAR and entry.flags & dtf.HARD_LINK else 1,
        "st_ino": place.inode,
        "st_uid": entry.uid,
        "st_gid": entry.gid,
        "st_size": size,
        "st_blocks": -(-size // _UNIT),
        "st_rdev": entry.size if device else 0,
        "st_mtime": entry.mtime_ns,
        "st_ctime": entry.ctime_ns,
        "st_atime": entry.mtime_ns,
    }


class Mount(mfusepy.FUSE):
    """Runs until it is unmounted or told to stop by a signal. Gives the attributes of a directory's entries with their names."""

    def __init__(self, filesystem: Filesystem, place: str, options: dict):
        version = mfusepy.fuse_version_major, mfusepy.fuse_version_minor
        if version >= _THREADS_SINCE:
            options = {**options, "max_threads": _THREADS}
        super().__init__(
            filesystem,
            place,
            foreground=True,
            ro=True,
            nosuid=True,
            nodev=True,
            fsname="bobbin",
            subtype="bobbin",
            use_ino=True,
            kernel_cache=True,
            attr_timeout=_CACHE_S,
            entry_timeout=_CACHE_S,
            **options,
        )

    def readdir_fuse_3(self, path, buffer, filler, offset, info, flags) -> int:
        status = mfusepy.c_stat()
        for name, row, _ in self.operations.readdir(_text(path), 0):
            mfusepy.ctypes.memset(mfusepy.ctypes.byref(status), 0, mfusepy.ctypes.sizeof(status))
            mfusepy.set_st_attrs(status, row, use_ns=True)
            if filler(buffer, _raw(name), status, 0, _PLUS):
                break
        return 0
