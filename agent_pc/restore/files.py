"""Brings the contents of files: file objects and chunks in batches, the next ones asked while the last are written.

Used by agent_pc/restore/job.py: the walk's thread adds files, a thread of its own writes them.
"""

import functools

from agent_pc.dtm.line import Line
from agent_pc.exits import AgentError
from agent_pc.incoming import Incoming
from agent_pc.restore.existing import PRESENT, REPLACE, WRITE
from agent_pc.restore.writer import Writer, Wrong
from firmware.formats import fileobject, pack
from firmware.formats.record import FormatError

_BATCH_FILES = 512
_BATCH_BYTES = 32 << 20
_REQUESTS = 3
_STOP_S = 10


class Files:
    """`existing`: restore.existing.Existing of the walk's thread. `outcome` hears of every file: `report(path, text, lost)` that it does
    not come back, `finished(path, where it is, entry, present)` that it does, `skipped(path)` that another stays in its place."""

    def __init__(self, session, source: str, target, line: Line, existing, outcome, progress, verify: bool = False):
        self._session = session
        self._source = source
        self._target = target.twin()  # used by the writing thread
        self._line = line
        self._existing = existing
        self._outcome = outcome
        self._verify = verify
        self._progress = progress
        self._batch: list = []
        self._bytes = 0
        self._asked = line.pipe(_REQUESTS)
        self._thread = line.thread("write", self._run)

    # -- the walk's thread

    def add(self, path: tuple, entry) -> None:
        """A regular file with contents."""
        self._batch.append((path, entry))
        self._bytes += entry.size
        self._progress.expect(entry.size)
        if len(self._batch) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Ask for the file objects of the batch, then for their chunks."""
        batch, self._batch, self._bytes = self._batch, [], 0
        if not batch:
            return
        bodies = self._session.items(pack.FILES, [entry.ref[1:] for _, entry in batch], self._source)
        writers = [(entry.ref[1:], self._writer(path, entry, body)) for (path, entry), body in zip(batch, bodies, strict=True)]
        runs = [run for _, writer in writers if writer is not None for run in writer.runs]
        self._session.learn({run[0] for run in runs}, self._source)
        plan = self._session.plan(self._source)
        parts: list = []
        for file, writer in writers:
            if writer is None:
                continue
            for run in writer.runs:
                if plan.full():
                    self._ask(parts, plan.rows)
                    plan, parts = self._session.plan(self._source), []
                plan.add(*run, file)
                parts.append((writer, run[2], False))
            parts.append((writer, 0, True))
        self._ask(parts, plan.rows)

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

    def _ask(self, parts: list, rows: list) -> None:
        """One request; what becomes of its items travels with it: [(writer, items that come next, whether it is complete then)]."""
        if parts:
            self._asked.put((parts, rows, self._session.fetch(pack.DATA, rows, self._source) if rows else None))

    def finish(self) -> None:
        """Wait until all is written."""
        self.flush()
        self._asked.put(None)
        self._line.join(self._thread)

    def stop(self) -> None:
        """After `finish` or when the restore ends early: nothing half written stays."""
        if self._thread.is_alive():
            self._session.channel.close()  # it may be waiting for the appliance
            self._thread.join(_STOP_S)

    # -- the writing thread

    def _run(self) -> None:
        current = None
        try:
            while (asked := self._asked.get()) is not None:
                parts, rows, reply = asked
                incoming = Incoming(self._session.stream(reply) if reply is not None else iter(()), pack.DATA, rows)
                for writer, count, last in parts:
                    current = writer
                    if count:
                        self._chunks(writer, incoming.take(count))
                    if last:
                        self._end(writer)
                        current = None
                incoming.end()
        finally:
            if current is not None:
                current.abandon()
            self._target.close()

    def _chunks(self, writer: Writer, taken) -> None:
        """The next chunks of a file, whatever becomes of it: the stream must stay in step."""
        for data, first, end, text in taken:
            if data is None:
                writer.failed = writer.failed or f"lost: {text}"
                writer.lost = True
            elif not writer.failed:
                self._part(writer, data, first, end)

    def _part(self, writer: Writer, data, first: int, end: int) -> None:
        try:
            self._progress.done(writer.write(data, first, end))
        except OSError as error:
            writer.failed = f"cannot be written: {error.strerror}"
        except Wrong as error:
            writer.failed, writer.lost = str(error), True

    def _end(self, writer: Writer) -> None:
        if not writer.failed:
            try:
                for text in writer.finish(self._verify):
                    self._outcome.report(writer.wanted, text, False)
                self._outcome.finished(writer.wanted, writer.path, writer.entry, False)
                return
            except OSError as error:
                writer.failed = f"cannot be written: {error.strerror}"
            except Wrong as error:
                writer.failed, writer.lost = str(error), True
        writer.abandon()
        self._outcome.report(writer.wanted, writer.failed, writer.lost)
