"""Restores what has no contents to fetch: links, devices, fifos, sockets, empty files. Used by agent_pc/restore/job.py."""

import os
import socket

from agent_pc.restore import metadata
from agent_pc.restore.existing import KINDS, REPLACE, WRITE
from agent_pc.restore.writer import place, temporary
from firmware.formats import dtf

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Special:
    """`existing`: restore.existing.Existing. Methods give (what became of it, path, texts of small failures) and raise OSError."""

    def __init__(self, target, existing):
        self._target = target
        self._existing = existing

    def make(self, path: tuple, entry) -> tuple:
        """Anything but a directory or a file with contents."""
        action, path, problems = self._existing.decide(
            path, entry, lambda at, status: self._existing.same_special(at, status, entry)
        )
        if action not in (WRITE, REPLACE):
            return action, path, problems
        directory, name = self._target.handle(path[:-1]), temporary()
        made = _empty(directory, name, entry) if entry.type == dtf.REGULAR else _special(directory, name, entry)
        self._take(path, name, action)
        return action, path, made

    def link(self, path: tuple, first: tuple, entry) -> tuple:
        """`path` becomes another name of `first`."""
        source = os.open(b".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._target.handle(first[:-1]))
        try:
            file = os.stat(first[-1], dir_fd=source, follow_symlinks=False)
            action, path, problems = self._existing.decide(path, entry, lambda at, status: os.path.samestat(status, file))
            if action in (WRITE, REPLACE):
                directory, name = self._target.handle(path[:-1]), temporary()
                os.link(first[-1], name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
                self._take(path, name, action)
            return action, path, problems
        finally:
            os.close(source)

    def _take(self, path: tuple, name: bytes, action: int) -> None:
        try:
            place(self._target, path, name, action == REPLACE)
        except OSError:
            os.unlink(name, dir_fd=self._target.handle(path[:-1]))
            raise


def _special(directory: int, name: bytes, entry) -> list:
    if entry.type == dtf.SYMLINK:
        os.symlink(entry.target, name, dir_fd=directory)
    elif entry.type == dtf.SOCKET and os.geteuid():
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(b"/proc/self/fd/%d/" % directory + name)
    else:
        os.mknod(name, 0o600 | KINDS[entry.type], entry.size, dir_fd=directory)
    return metadata.apply_by_name(directory, name, entry)


def _empty(directory: int, name: bytes, entry) -> list:
    handle = os.open(name, _CREATE, 0o600, dir_fd=directory)
    try:
        return metadata.apply(handle, entry)
    finally:
        os.close(handle)
