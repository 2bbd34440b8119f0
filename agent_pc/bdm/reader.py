"""Reads one file for the backup, as messages for the packer. Runs in the reader threads; started by agent_pc/backup.py.

("chunks", buffer, rows)      new chunks: rows [(length, weak, hash)] of buffer
("runs", runs, prints)        chunks that the appliance holds
("hole", length)
("restart",)                  the file changed: forget what came
("same",)                     contents are those of the old version
("done", Outcome)             last message, or
("failed", text)              last message: the file cannot be read
"""

import os
import stat
import time

from agent_pc.bdm import contents, librsync
from agent_pc.bdm.difference import Difference, Misfit
from firmware.formats import dtf, fileobject, limits

_TRIES = 3
_QUIET_NS = 5_000_000_000  # not written to for so long: quiesced
_TICK_NS = 20_000_000  # file times move in kernel ticks: two writes within one look alike
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Outcome:
    """What was read. `status`: as it was before; `changed`: text if the last try still saw a change."""

    def __init__(self, status: os.stat_result, size: int, chunk_bytes: int, flags: int, signature: bytes, changed: str):
        self.status = status
        self.size = size
        self.chunk_bytes = chunk_bytes
        self.flags = flags
        self.signature = signature
        self.changed = changed
        self.label = dtf.UNGUARDED if changed else label(status)
        self.entry_flags = dtf.TRUNCATED if size != status.st_size else 0


def label(status: os.stat_result) -> int:
    """dtf label of a file that did not change while it was read."""
    recent = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _QUIET_NS
    return dtf.UNGUARDED if recent else dtf.QUIESCED


def open_file(path: bytes, expected: os.stat_result) -> tuple:
    """(handle, stat) of the regular file that was seen there. Raises OSError."""
    try:
        handle = os.open(path, _OPEN | os.O_NOATIME)
    except PermissionError:
        handle = os.open(path, _OPEN)  # O_NOATIME is for the owner
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_dev != expected.st_dev:
        os.close(handle)
        raise OSError(0, "is no longer the regular file that was listed")
    age = time.time_ns() - status.st_ctime_ns
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
        status = os.fstat(handle)
    return handle, status


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing was written between the two."""
    return one.st_mtime_ns == other.st_mtime_ns and one.st_ctime_ns == other.st_ctime_ns and one.st_size == other.st_size


def read(path: bytes, expected: os.stat_result, old, untouched: bool):
    """Yield the messages of one file. `old` (bdm.old.Old) is differenced against; `untouched`: size and time are those of `old`."""
    for attempt in range(_TRIES):
        try:
            handle, status = open_file(path, expected)
        except OSError as error:
            yield "failed", error.strerror
            return
        try:
            final = yield from _once(handle, status, old, untouched)
        except OSError as error:
            yield "failed", f"cannot be read: {error.strerror}"
            return
        finally:
            os.close(handle)
        if not final.changed or attempt == _TRIES - 1:
            yield "done", final
            return
        yield ("restart",)


def _once(handle: int, status: os.stat_result, old, untouched: bool):
    """Yield messages but the last; returns Outcome."""
    found = contents.extents(handle, status)
    if old is not None and untouched and status.st_size > contents.BLOCK_BYTES and _equal(handle, status, found, old):
        return (yield from _unmodified(handle, status, old))
    if old is not None and old.prints and old.worth(status.st_size):
        try:
            difference = Difference(old)
        except Misfit:
            difference = None
        if difference is not None:
            try:
                return (yield from _differ(handle, status, found, old, difference))
            except Misfit:
                yield ("restart",)
            finally:
                difference.close()
    return (yield from whole(handle, status, found, old))


def _equal(handle: int, status: os.stat_result, found: list, old) -> bool:
    """Whether the contents are those of `old`, by signature."""
    if status.st_size != old.file.size:
        return False
    return contents.signature(handle, found, status.st_size, old.file.chunk_bytes) == old.file.signature


def _unmodified(handle: int, status: os.stat_result, old):
    yield ("same",)
    return _finish(handle, status, status.st_size, old.file.chunk_bytes, 0, old.file.signature)


def whole(handle: int, status: os.stat_result, found: list, old=None):
    """All of the file in canonical chunks."""
    size = status.st_size
    alike = old is not None and old.file.size == size
    chunk_bytes = old.file.chunk_bytes if alike else limits.chunk_size(size)
    signer = contents.Signer()
    messages: list = []
    at = 0
    for offset, length in found:
        if offset > at:
            messages.append(("hole", offset - at))
        signer.extent(offset)
        for block in contents.blocks(handle, offset, length):
            rows = librsync.rows(block, chunk_bytes)
            signer.rows(rows)
            messages.append(("chunks", block, rows))
            if size > contents.BLOCK_BYTES:
                yield from messages
                messages.clear()
        at = offset + length
        if signer.end != at:
            size = signer.end
            break
    if size > signer.end:
        messages.append(("hole", size - signer.end))
    digest = signer.digest(size)
    if alike and digest == old.file.signature:
        yield ("same",)
    else:
        yield from messages
    return _finish(handle, status, size, chunk_bytes, 0, digest)


def _differ(handle: int, status: os.stat_result, found: list, old, difference: Difference):
    """The file as a difference against `old`."""
    size, chunk_bytes = status.st_size, old.file.chunk_bytes
    signer = contents.Signer()
    at = 0
    for offset, length in found:
        if offset > at:
            yield "hole", offset - at
        signer.extent(offset)
        yield from difference.extent(_signed(contents.blocks(handle, offset, length), signer, chunk_bytes))
        at = offset + length
        if signer.end != at:
            size = signer.end
            break
    if size > signer.end:
        yield "hole", size - signer.end
    digest = signer.digest(size)
    if digest == old.file.signature and size == old.file.size:
        yield ("same",)
    return _finish(handle, status, size, chunk_bytes, fileobject.IRREGULAR if difference.irregular else 0, digest)


def _signed(blocks, signer: contents.Signer, chunk_bytes: int):
    """The same blocks; canonical chunks are signed on the way."""
    for block in blocks:
        signer.rows(librsync.rows(block, chunk_bytes))
        yield block


def _finish(handle: int, status: os.stat_result, size: int, chunk_bytes: int, flags: int, digest: bytes) -> Outcome:
    after = os.fstat(handle)
    changed = "" if same(status, after) and size == status.st_size else "changed while it was read; kept as it was read"
    return Outcome(status, size, chunk_bytes, flags, digest, changed)
