"""What to do where something exists already: the policies of `bobbin restore --existing`. Called by restore/files.py and special.py.

What is there and is what the view has is never fetched or written again: so a restore that was cut or killed goes on where it was.
"""

import contextlib
import errno
import itertools
import os
import re
import stat

from agent_pc.bdm import contents
from agent_pc.restore import metadata
from agent_pc.restore.writer import TEMPORARY
from agent_pc.views import layout
from firmware.formats import dtf, limits

REFUSE, SKIP, KEEP_BOTH, OLDER, OVERWRITE = POLICIES = ("refuse", "skip", "keep-both", "older", "overwrite")

# What becomes of an entry
WRITE, REPLACE, PRESENT, SKIPPED = range(4)

_LEFTOVER = re.compile(re.escape(TEMPORARY) + rb"[0-9a-f]{16}")
_STEM_BYTES = 200  # of a name that is made longer
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Existing:
    """`target`: restore.paths.Target of the same thread; `view`: number that goes into the name of a second copy."""

    def __init__(self, target, policy: str, view: int):
        self._target = target
        self._policy = policy
        self._view = view
        self._fresh: set = set()  # directories that were empty when this restore came to them

    def enter(self, path: tuple, made: bool) -> None:
        """A directory that is restored into; `made`: by this restore just now. Else leftovers of a killed one go."""
        if made:
            self._fresh.add(path)
            return
        handle = self._target.handle(path)
        for name in os.listdir(b"/proc/self/fd/%d" % handle):
            if _LEFTOVER.fullmatch(name):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=handle)

    def decide(self, path: tuple, entry, same) -> tuple:
        """(WRITE ..., path to write, texts of small failures). `same(path, status)`: whether what is there is what is wanted.

        Raises OSError EEXIST, EISDIR.
        """
        status = self._status(path)
        if status is None:
            return WRITE, path, []
        if same(path, status):
            return PRESENT, path, self._refresh(path, entry, status)
        if self._policy == KEEP_BOTH:
            return self._beside(path, same)
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, "a directory is in its place")
        if self._policy == REFUSE:
            raise OSError(errno.EEXIST, "exists already and is another; --existing says what to do then")
        newer = self._policy == OLDER and status.st_mtime_ns >= entry.mtime_ns
        return SKIPPED if newer or self._policy == SKIP else REPLACE, path, []

    def _status(self, path: tuple) -> os.stat_result | None:
        if path[:-1] in self._fresh:
            return None
        try:
            return os.stat(path[-1], dir_fd=self._target.handle(path[:-1]), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _beside(self, path: tuple, same) -> tuple:
        """A name that is free, or has the same already: `letter (view 3).odt`."""
        stem, dot = os.path.splitext(path[-1])
        for number in itertools.count(1):
            more = b", %d" % number if number > 1 else b""
            other = (*path[:-1], b"%s (view %d%s)%s" % (stem[:_STEM_BYTES], self._view, more, dot[:_STEM_BYTES]))
            status = self._status(other)
            if status is None or same(other, status):
                return WRITE if status is None else PRESENT, other, []
        raise AssertionError("count ends")

    def _refresh(self, path: tuple, entry, status) -> list:
        """`overwrite` gives the metadata back, too."""
        if self._policy != OVERWRITE:
            return []
        directory = self._target.handle(path[:-1])
        if not stat.S_ISREG(status.st_mode):
            return metadata.apply_by_name(directory, path[-1], entry)
        handle = os.open(path[-1], _OPEN, dir_fd=directory)
        try:
            return metadata.apply(handle, entry)
        finally:
            os.close(handle)

    # -- what `same` may be

    def same_file(self, path: tuple, status, entry, file) -> bool:
        """Whether a file has the contents of file object `file`: size, time, and then the signature of what is read."""
        alike = stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
        if not alike or not 0 < file.chunk_bytes <= limits.CHUNK_BYTES:
            return False
        try:
            handle = os.open(path[-1], _OPEN, dir_fd=self._target.handle(path[:-1]))
        except PermissionError:
            return False
        try:
            whole = all(kind == "data" for kind, _ in layout.plan(file.runs))
            extents = [(0, entry.size)] if whole else contents.extents(handle, status)
            return contents.signature(handle, extents, entry.size, file.chunk_bytes) == file.signature
        finally:
            os.close(handle)

    def same_special(self, path: tuple, status, entry) -> bool:
        """Whether it is the same link, device, fifo, socket, or empty file."""
        if stat.S_IFMT(status.st_mode) != KINDS[entry.type]:
            return False
        if entry.type == dtf.SYMLINK:
            return os.readlink(path[-1], dir_fd=self._target.handle(path[:-1])) == entry.target
        if entry.type == dtf.REGULAR:
            return (status.st_size, status.st_mtime_ns) == (0, entry.mtime_ns)
        return entry.type not in (dtf.CHARACTER, dtf.BLOCK) or status.st_rdev == entry.size


KINDS = {
    dtf.REGULAR: stat.S_IFREG,
    dtf.SYMLINK: stat.S_IFLNK,
    dtf.FIFO: stat.S_IFIFO,
    dtf.CHARACTER: stat.S_IFCHR,
    dtf.BLOCK: stat.S_IFBLK,
    dtf.SOCKET: stat.S_IFSOCK,
}
