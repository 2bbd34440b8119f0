"""Restores what has no contents to fetch: links, devices, fifos, sockets, empty files. Used by agent_pc/restore/job.py."""

import errno
import os
import secrets
import socket
import stat

from agent_pc.restore import metadata
from agent_pc.restore.writer import place
from firmware.formats import dtf

_KINDS = {dtf.FIFO: stat.S_IFIFO, dtf.CHARACTER: stat.S_IFCHR, dtf.BLOCK: stat.S_IFBLK, dtf.SOCKET: stat.S_IFSOCK}
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Special:
    """`overwrite`: whether something that exists may be replaced."""

    def __init__(self, target, overwrite: bool):
        self._target = target
        self._overwrite = overwrite

    def free(self, path: tuple) -> bool:
        """True if the name may be taken. Raises OSError: it exists, or is a directory."""
        try:
            status = os.stat(path[-1], dir_fd=self._target.handle(path[:-1]), follow_symlinks=False)
        except FileNotFoundError:
            return True
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, "a directory is in its place")
        if not self._overwrite:
            raise OSError(errno.EEXIST, "exists already; --overwrite replaces it")
        return True

    def make(self, path: tuple, entry) -> list:
        """Anything but a file or directory. Returns texts of small failures. Raises OSError."""
        self.free(path)
        directory, name = self._target.handle(path[:-1]), self._temporary()
        if entry.type == dtf.SYMLINK:
            os.symlink(entry.target, name, dir_fd=directory)
        elif entry.type == dtf.SOCKET and os.geteuid():
            self._socket(directory, name)
        else:
            os.mknod(name, 0o600 | _KINDS[entry.type], entry.size, dir_fd=directory)
        return self._take(path, name, metadata.apply_by_name(directory, name, entry))

    def _socket(self, directory: int, name: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(b"/proc/self/fd/%d/" % directory + name)

    def empty(self, path: tuple, entry) -> list:
        """A file without contents. Raises OSError."""
        directory, name = self._target.handle(path[:-1]), self._temporary()
        handle = os.open(name, _CREATE, 0o600, dir_fd=directory)
        try:
            problems = metadata.apply(handle, entry)
        finally:
            os.close(handle)
        return self._take(path, name, problems)

    def link(self, path: tuple, first: tuple) -> None:
        """`path` becomes another name of `first`. Raises OSError."""
        self.free(path)
        name = self._temporary()
        source = os.open(b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._target.handle(first[:-1]))
        try:
            directory = self._target.handle(path[:-1])
            os.link(first[-1], name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)
        self._take(path, name, [])

    def _take(self, path: tuple, name: bytes, problems: list) -> list:
        try:
            place(self._target, path, name, self._overwrite)
        except OSError:
            os.unlink(name, dir_fd=self._target.handle(path[:-1]))
            raise
        return problems

    def _temporary(self) -> bytes:
        return b".bobbin-" + secrets.token_hex(8).encode()
