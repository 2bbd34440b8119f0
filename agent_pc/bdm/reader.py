"""Reads one file for the backup, as messages for the packer. Runs in the reader threads; started by agent_pc/backup.py.

("chunks", buffer, sums)      new chunks: Sums of buffer
("held", first, sums)         chunks that arrived before a cut of the connection
("runs", runs, prints)        chunks that the appliance holds
("early", key, buffer, sums)  new chunks of a later place, before they are lost (guard.ahead)
("late", key, first, sums)    this is their place, or that of some of them
("hole", length)
("restart",)                  the file changed: forget what came
("same",)                     contents are those of the old version
("done", Outcome)             last message, or
("failed", text)              last message: the file cannot be read
"""

import os

from agent_pc.afm import plain
from agent_pc.afm.guard import Frozen
from agent_pc.afm.sources import Sources
from agent_pc.bdm import contents
from agent_pc.bdm.difference import Difference, Misfit
from agent_pc.fda import difference as written
from agent_pc.guard import ahead
from firmware.formats import dtf, fileobject, limits

_TRIES = 3


class Outcome:
    """What was read. `status`: as it was before; `label`: of dtf; `changed`: text if the last try still saw a change."""

    def __init__(self, frozen: Frozen, size: int, chunk_bytes: int, flags: int, signature: bytes):
        self.status = frozen.status
        self.size = size
        self.chunk_bytes = chunk_bytes
        self.flags = flags
        self.signature = signature
        self.label, self.changed = frozen.verdict()
        self.entry_flags = dtf.TRUNCATED if size != self.status.st_size else 0
        if self.entry_flags and not self.changed:
            self.label, self.changed = dtf.UNGUARDED, "is shorter than it should be"


def read(
    path: bytes,
    expected: os.stat_result,
    old,
    untouched: bool,
    fda=None,
    sources: Sources | None = None,
    held: Frozen | None = None,
    begun: list | tuple = (),
):
    """Yield the messages of one file. `old` (bdm.old.Old) is differenced against; `untouched`: size and time are those of `old`.

    `fda` (fda.accelerator.Accelerator) may know what was written since `old`. `held`: the file is frozen already, and stays so.
    `begun` [(first, Sums)]: chunks from its start that arrived, if its stat is still `expected`.
    """
    sources = sources or Sources()
    for attempt in range(_TRIES):
        try:
            frozen = held or sources.open(path, expected, attempt)
        except OSError as error:
            yield "failed", error.strerror
            return
        try:
            again = begun if not attempt and plain.same(frozen.status, expected) else ()
            final = yield from _tracked(path, frozen, old, untouched, fda, again)
        except OSError as error:
            yield "failed", f"cannot be read: {error.strerror}"
            return
        finally:
            if frozen is not held:
                frozen.close()
        if not final.changed or held or attempt == _TRIES - 1:
            yield "done", final
            return
        yield ("restart",)


def _tracked(path: bytes, frozen: Frozen, old, untouched: bool, fda, begun):
    """Yield messages but the last; returns Outcome, which FDA remembers."""
    tracked = fda.begin(path, frozen.handle, frozen.status, old) if fda is not None else None
    if tracked is None:
        return (yield from _once(_Reading(frozen, frozen.handle, old, untouched, None, begun)))
    try:
        final = yield from _once(_Reading(frozen, tracked.handle, old, untouched, tracked, begun))
        tracked.done(final)
        return final
    finally:
        tracked.close()


class _Reading:
    """What the strategies need. `handle`: the one to read from, of a clone that FDA made, or of `frozen`."""

    def __init__(self, frozen: Frozen, handle: int, old, untouched: bool, tracked, begun):
        self._frozen = frozen
        self.handle = handle
        self.status = frozen.status
        self.old = old
        self.untouched = untouched
        self.tracked = tracked
        self.begun = begun
        self.found = contents.extents(handle, frozen.status)

    def signer(self) -> contents.Signer:
        return self.tracked.signer() if self.tracked is not None else contents.Signer()

    def finish(self, size: int, chunk_bytes: int, flags: int, digest: bytes) -> Outcome:
        if chunk_bytes != limits.chunk_size(size):
            flags |= fileobject.IRREGULAR  # of a size that the chunks of the old version are not canonical for
        return Outcome(self._frozen, size, chunk_bytes, flags, digest)


def _once(reading: _Reading):
    """Yield messages but the last; returns Outcome. The first strategy that can does it."""
    for strategy in _STRATEGIES:
        try:
            final = yield from strategy(reading)
        except Misfit:
            yield ("restart",)
            continue
        if final is not None:
            return final


def _regions(reading: _Reading):
    """FDA: only what was written is read."""
    tracked, old = reading.tracked, reading.old
    if tracked is None or tracked.regions is None:
        return None
    signer = reading.signer()
    try:
        size = yield from written.messages(tracked, reading.status, reading.found, old, signer)
    except OSError:
        tracked.doubt()
        raise Misfit("the regions cannot be read") from None
    digest = signer.digest(size)
    if digest == old.file.signature and size == old.file.size:
        yield ("same",)
    return reading.finish(size, old.file.chunk_bytes, 0, digest)


def _equal(reading: _Reading):
    """Contents are those of `old`, by signature: its time says that they may be."""
    status, old = reading.status, reading.old
    if old is None or not reading.untouched or not contents.BLOCK_BYTES < status.st_size == old.file.size:
        return None
    digest = contents.signature(reading.handle, reading.found, status.st_size, old.file.chunk_bytes, reading.signer())
    if digest is None or digest != old.file.signature:
        return None
    yield ("same",)
    return reading.finish(status.st_size, old.file.chunk_bytes, 0, digest)


def _sliding(reading: _Reading):
    """SFP: all of it is read, and compared with the fingerprints of `old`."""
    old = reading.old
    if old is None or not old.prints or not old.worth(reading.status.st_size):
        return None
    difference = Difference(old)
    try:
        return (yield from _differ(reading, difference))
    finally:
        difference.close()


def _whole(reading: _Reading):
    """All of the file in canonical chunks."""
    size, old = reading.status.st_size, reading.old
    alike = old is not None and old.file.size == size
    chunk_bytes = old.file.chunk_bytes if alike else limits.chunk_size(size)
    signer = reading.signer()
    messages, found = _continued(reading, signer, chunk_bytes)
    at = signer.end
    for offset, length in found:
        if offset > at:
            messages.append(("hole", offset - at))
        signer.extent(offset)
        for message in ahead.messages(reading.handle, offset, length, chunk_bytes):
            if message[0] != "early":
                signer.sums(message[-1])
            messages.append(message)
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
    return reading.finish(size, chunk_bytes, 0, digest)


def _continued(reading: _Reading, signer: contents.Signer, chunk_bytes: int) -> tuple:
    """(messages, extents that are left) of a file without holes whose start arrived before a cut; all of it if it is another one."""
    size = reading.status.st_size
    parts = [sums for _, sums in reading.begun]
    came = sum([sums.length for sums in parts])
    full = [sums.chunk == sums.last == chunk_bytes for sums in parts]
    regular = all(full[:-1]) and (came == size or all(full)) and all(sums.chunk == chunk_bytes for sums in parts)
    if reading.old is not None or reading.found != [(0, size)] or not regular or came > size:
        return [], reading.found
    for sums in parts:
        signer.sums(sums)
    left = [(signer.end, size - signer.end)] if signer.end < size else []
    return [("held", first, sums) for first, sums in reading.begun], left


def _differ(reading: _Reading, difference: Difference):
    """The file as a difference against `old`."""
    size, old = reading.status.st_size, reading.old
    chunk_bytes = old.file.chunk_bytes
    signer = reading.signer()
    at = 0
    for offset, length in reading.found:
        if offset > at:
            yield "hole", offset - at
        signer.extent(offset)
        yield from difference.extent(offset, _signed(contents.summed(reading.handle, offset, length, chunk_bytes), signer))
        at = offset + length
        if signer.end != at:
            size = signer.end
            break
    if size > signer.end:
        yield "hole", size - signer.end
    digest = signer.digest(size)
    if digest == old.file.signature and size == old.file.size:
        yield ("same",)
    return reading.finish(size, chunk_bytes, fileobject.IRREGULAR if difference.irregular else 0, digest)


def _signed(pairs, signer: contents.Signer):
    """The same (block, Sums); canonical chunks are signed on the way."""
    for pair in pairs:
        signer.sums(pair[1])
        yield pair


_STRATEGIES = (_regions, _equal, _sliding, _whole)
