"""Writes one restored file: into a temporary name, holes left open, checked against its signature, renamed. Used by agent_pc/restore/files.py."""

import errno
import hashlib
import itertools
import os
import secrets
import struct

from agent_pc.bdm import contents
from agent_pc.restore import calls, metadata
from agent_pc.views import layout
from firmware.formats import fileobject

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE = struct.Struct("<28xQ")
TEMPORARY = b".bobbin-"  # begins the name of what is not complete yet; 16 hexadecimal digits follow
_NUMBERS = (1 << 64) - 1
_numbers = itertools.count(secrets.randbits(63))


def temporary() -> bytes:
    """A name for what is not complete yet."""
    return TEMPORARY + b"%016x" % (next(_numbers) & _NUMBERS)


class Wrong(Exception):
    """The file cannot be restored; the text says why."""


class Writer:
    """One file. `file` (file.FILE) says what is to come; `runs`: its runs that hold data.

    `path`: where it goes; `wanted`: its path in the view; `replace`: whether it may take the place of another.
    """

    def __init__(self, target, path: tuple, entry, file, wanted: tuple = (), replace: bool = False):
        self._target = target
        self.path = path
        self.wanted = wanted or path
        self.replace = replace
        self.entry = entry
        self._file = file
        self._plan = layout.plan(file.runs)
        self.runs = [run for run in file.runs if run[0] != fileobject.HOLE_GROUP]
        self._left = 0  # chunks until the next hole
        self._signer = hashlib.blake2b(digest_size=32)
        self._extents: list = []
        self._at = 0
        self._handle = -1
        self._temporary = temporary()
        self.failed = ""
        self.lost = False  # because the appliance could not give it

    def _open(self) -> None:
        if self._handle < 0:
            self._handle = calls.open_at(self._target.handle(self.path[:-1]), self._temporary, _FLAGS, 0o600)

    def write(self, data, first: int, end: int) -> int:
        """The next chunks: items first .. end-1 of `data` (packs.Opened). Gives their bytes. Raises OSError, Wrong."""
        self._open()
        began = self._at
        while first < end:
            if not self._left:
                self._advance()
            stop = min(end, first + self._left)
            at, behind = data.offsets[first], data.offsets[stop]
            if self._at + behind - at > self._file.size:
                raise Wrong(f"has more than the {self._file.size} bytes that its file object says")
            self._put(data.raw[at:behind])
            self._signer.update(data.sums(first, stop))
            self._left -= stop - first
            first = stop
        return self._at - began

    def _put(self, data: memoryview) -> None:
        if not data:
            return
        if self._extents and sum(self._extents[-1]) == self._at:
            self._extents[-1][1] += len(data)
        else:
            self._extents.append([self._at, len(data)])
        while data:
            count = os.pwrite(self._handle, data, self._at)
            self._at += count
            data = data[count:]

    def _advance(self) -> None:
        """Over holes to the next data."""
        while self._plan:
            kind, count = self._plan.pop(0)
            if kind == "data":
                self._left = count
                return
            self._signer.update(_HOLE.pack(count))
            self._at += count
        raise Wrong("has more chunks than its file object says")

    def finish(self, verify: bool = False) -> list:
        """All chunks are here: check, apply metadata, take the name. Returns texts of small failures. Raises OSError, Wrong.

        The signature is that of the chunks that came; with `verify` also of what is then read back from the disk.
        """
        self._open()
        if self._plan:
            try:
                self._advance()
            except Wrong:
                pass  # only holes were left
        if self._at != self._file.size or self._left or self._plan:
            raise Wrong(f"expected {self._file.size} bytes, got {self._at}")
        if not self._extents or sum(self._extents[-1]) != self._at:
            os.ftruncate(self._handle, self._at)  # a hole is last
        if self._signature() != self._file.signature:
            raise Wrong("its contents are not those that were backed up: the signature differs")
        if verify and self._read_back() != self._file.signature:
            raise Wrong("what is read back from the disk is not what was written")
        problems = metadata.apply(self._handle, self.entry)
        place(self._target, self.path, self._temporary, self.replace)
        calls.close(self._handle)
        self._handle = -1
        return problems

    def _signature(self) -> bytes | None:
        if not self._file.flags & fileobject.IRREGULAR:
            return self._signer.digest()
        return self._of_what_was_written()

    def _read_back(self) -> bytes | None:
        """From the disk, not from memory."""
        os.fsync(self._handle)
        os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)
        return self._of_what_was_written()

    def _of_what_was_written(self) -> bytes | None:
        return contents.signature(self._handle, [tuple(row) for row in self._extents], self._at, self._file.chunk_bytes)

    def abandon(self) -> None:
        """Nothing of it stays."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            try:
                os.unlink(self._temporary, dir_fd=self._target.handle(self.path[:-1]))
            except OSError:
                pass


def place(target, path: tuple, temporary: bytes, replace: bool) -> None:
    """Give a finished temporary its name; without `replace` never over something. Raises OSError."""
    directory = target.handle(path[:-1])
    if replace:
        os.rename(temporary, path[-1], src_dir_fd=directory, dst_dir_fd=directory)
    else:
        try:
            calls.rename_over_nothing(directory, temporary, path[-1])
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # a filesystem without the flag
            os.link(temporary, path[-1], src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            os.unlink(temporary, dir_fd=directory)
