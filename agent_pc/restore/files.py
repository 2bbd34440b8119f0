"""Asks for the contents of files: file objects, then chunks, in the order in which they were backed up, some requests ahead.

Used by agent_pc/restore/job.py in the walk's thread; agent_pc/restore/taking.py writes what comes in a thread of its own. The order is
that of the file objects, not that of the walk: so neighbours share packs, and the appliance sends packs whole, as they lie on its disk.
"""

import functools

from agent_pc.dtm.line import Line
from agent_pc.exits import AgentError
from agent_pc.restore.existing import PRESENT, REPLACE, WRITE
from agent_pc.restore.taking import Taking
from agent_pc.restore.writer import Writer
from firmware.formats import fileobject, pack
from firmware.formats.record import FormatError

# Files that are put in order together: few at first, so that something is asked for soon.
_FIRST_FILES = 512
_MOST_FILES = 8192
_REQUEST_FILES = 1024
_REQUEST_BYTES = 64 << 20
_REQUESTS = 3


class Files:
    """`existing`: restore.existing.Existing of the walk's thread. `outcome` hears of every file: `report(path, text, lost)` that it does
    not come back, `finished(path, where it is, entry, present)` that it does, `skipped(path)` that another stays in its place."""

    def __init__(self, session, source: str, target, line: Line, existing, outcome, progress, verify: bool = False):
        self._session = session
        self._source = source
        self._target = target.twin()  # used by the writing thread
        self._existing = existing
        self._outcome = outcome
        self._progress = progress
        self._found: list = []  # (path, entry) of files, not asked for yet
        self._room = _FIRST_FILES
        self._taking = Taking(session, source, self._target, line, line.pipe(_REQUESTS), outcome, progress, verify)

    def add(self, path: tuple, entry) -> None:
        """A regular file with contents."""
        self._found.append((path, entry))
        self._progress.expect(entry.size)
        if len(self._found) >= self._room:
            self._room = min(2 * self._room, _MOST_FILES)
            self.flush()

    def flush(self) -> None:
        """Ask for what was found."""
        found, self._found = sorted(self._found, key=_place), []
        batch: list = []
        size = 0
        for row in found:
            batch.append(row)
            size += row[1].size
            if len(batch) >= _REQUEST_FILES or size >= _REQUEST_BYTES:
                self._ask(batch)
                batch, size = [], 0
        if batch:
            self._ask(batch)

    def _ask(self, batch: list) -> None:
        """For the file objects of the batch, then for their chunks."""
        refs = [_place(row) for row in batch]
        bodies = self._session.items(pack.FILES, refs, self._source)
        writers = [(ref, self._writer(path, entry, body)) for ref, (path, entry), body in zip(refs, batch, bodies, strict=True)]
        writers = [row for row in writers if row[1] is not None]
        self._session.learn({run[0] for _, writer in writers for run in writer.runs}, self._source)
        plan = self._session.plan(self._source)
        parts: list = []
        for ref, writer in writers:
            count = 0
            for run in writer.runs:
                if plan.full():
                    self._taking.put(parts + [(writer, count, False)], plan.rows)
                    plan, parts, count = self._session.plan(self._source), [], 0
                plan.add(*run, ref)
                count += run[2]
            parts.append((writer, count, True))
        if parts:
            self._taking.put(parts, plan.rows)

    def _writer(self, path: tuple, entry, body):
        """The Writer of a file; None if nothing is to be written."""
        if body is None:
            self._outcome.report(path, "its file object is lost", True)
            return None
        try:
            file = fileobject.FILE.unpack(body)
            if file.size != entry.size:
                raise FormatError(f"file object: expected {entry.size} bytes as its entry says, got {file.size}")
            return self._decided(path, entry, file)
        except (FormatError, AgentError) as error:
            self._outcome.report(path, str(error), True)
        except OSError as error:
            self._outcome.report(path, f"cannot be restored: {error.strerror}", False)
        return None

    def _decided(self, path: tuple, entry, file):
        same = functools.partial(self._existing.same_file, entry=entry, file=file)
        action, place, problems = self._existing.decide(path, entry, same)
        for text in problems:
            self._outcome.report(path, text, False)
        if action in (WRITE, REPLACE):
            return Writer(self._target, place, entry, file, path, action == REPLACE)
        self._progress.done(entry.size)
        if action == PRESENT:
            self._outcome.finished(path, place, entry, True)
        else:
            self._outcome.skipped(path)
        return None

    def finish(self) -> None:
        """Wait until all is written."""
        self.flush()
        self._taking.finish()

    def stop(self) -> None:
        """After `finish` or when the restore ends early: nothing half written stays."""
        self._taking.stop()


def _place(row: tuple) -> tuple:
    """(group, index) of a file's object."""
    return row[1].ref[1:]
