"""Brings the contents of files: file objects and chunks in batches, the next ones asked while the last are written.

Used by agent_pc/restore/job.py: the walk's thread adds files, a thread of its own writes them.
"""

from typing import Any

from agent_pc.dtm.line import Line
from agent_pc.exits import AgentError
from agent_pc.restore.writer import Writer, Wrong
from firmware.formats import fileobject, pack
from firmware.formats.record import FormatError

_BATCH_FILES = 512
_BATCH_BYTES = 32 << 20
_SPAN_CHUNKS = 2048
_ROWS = 1024
_REQUESTS = 3
_STOP_S = 10
_END: Any = ("end", None)


class Files:
    """`report(path, text, lost)` hears of each file that does not come back; `finished(writer)` of each that does."""

    def __init__(self, session, source: str, target, line: Line, replace: bool, report, finished, progress):
        self._session = session
        self._source = source
        self._target = target.twin()  # used by the writing thread
        self._line = line
        self._replace = replace
        self._report = report
        self._finished = finished
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
        rows = []
        bodies = self._session.items(pack.FILES, [entry.ref[1:] for _, entry in batch], self._source)
        for (path, entry), body in zip(batch, bodies, strict=True):
            writer = self._writer(path, entry, body)
            if writer is None:
                continue
            spans = _spans(entry.ref[1:], writer.chunks)
            rows.extend([(writer, span, at == len(spans) - 1) for at, span in enumerate(spans)])
            while len(rows) >= _ROWS:
                self._ask(rows[:_ROWS])
                rows = rows[_ROWS:]
        if rows:
            self._ask(rows)

    def _writer(self, path: tuple, entry, body):
        if body is None:
            self._report(path, "its file object is lost", True)
            return None
        try:
            file = fileobject.FILE.unpack(body)
            if file.size != entry.size:
                raise FormatError(f"file object: expected {entry.size} bytes as its entry says, got {file.size}")
            return Writer(self._target, path, entry, file)
        except (FormatError, AgentError) as error:
            self._report(path, str(error), True)
            return None

    def _ask(self, rows: list) -> None:
        """One READ; its rows travel with it."""
        spans = [span for _, span, _ in rows if span[3]]
        reply = self._session.read(spans, self._source) if spans else None
        self._asked.put((rows, reply))

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
                rows, reply = asked
                stream = _Chunks(self._session.stream(reply)) if reply is not None else None
                for writer, span, last in rows:
                    current = writer
                    self._span(writer, span, stream)
                    if last:
                        self._end(writer)
                        current = None
                if stream is not None:
                    stream.end()
        finally:
            if current is not None:
                current.abandon()
            self._target.close()

    def _span(self, writer: Writer, span: tuple, stream) -> None:
        """The chunks of one row, whatever becomes of the file: the stream must stay in step."""
        try:
            if not span[2] and not writer.failed:
                writer.open()
        except OSError as error:
            writer.failed = f"cannot be written: {error.strerror}"
        for part in stream.row(span[3]) if span[3] else ():
            if isinstance(part, str):
                writer.failed = writer.failed or part
                writer.lost = True
            elif not writer.failed:
                self._part(writer, part)

    def _part(self, writer: Writer, part: tuple) -> None:
        try:
            writer.write(*part)
            self._progress.done(len(part[0]))
        except OSError as error:
            writer.failed = f"cannot be written: {error.strerror}"
        except Wrong as error:
            writer.failed, writer.lost = str(error), True

    def _end(self, writer: Writer) -> None:
        if not writer.failed:
            try:
                for text in writer.finish(self._replace):
                    self._report(writer.path, text, False)
                self._finished(writer)
                return
            except OSError as error:
                writer.failed = f"cannot be written: {error.strerror}"
            except Wrong as error:
                writer.failed, writer.lost = str(error), True
        writer.abandon()
        self._report(writer.path, writer.failed, writer.lost)


class _Chunks:
    """Hands out what a READ gives, row by row. LOST names rows of the request."""

    def __init__(self, stream):
        self._stream = stream
        self._row = -1
        self._data: Any = None  # packs.Opened that is partly used
        self._used = 0
        self._offset = 0
        self._lost: dict = {}

    def row(self, count: int):
        """Yield (raw, lengths, hashes) of the next row's `count` chunks; a text in place of those that are lost."""
        self._row += 1
        while count:
            if self._data is None and not self._fetch():
                yield self._lost.pop(self._row)
                return
            take = min(count, len(self._data.lengths) - self._used)
            lengths = self._data.lengths[self._used : self._used + take]
            size = sum(lengths)
            yield self._data.raw[self._offset : self._offset + size], lengths, self._data.hashes[self._used : self._used + take]
            self._used, self._offset, count = self._used + take, self._offset + size, count - take
            if self._used == len(self._data.lengths):
                self._data = None

    def _fetch(self) -> bool:
        """The next pack; False if this row is lost instead."""
        if self._row in self._lost:
            return False
        what, value = next(self._stream, _END)
        if what == "lost":
            if value.row < self._row:
                raise AgentError("PROTOCOL", f"appliance: LOST: row {value.row} after row {self._row}")
            self._lost[value.row] = f"lost: {value.text}"
            return value.row != self._row and self._wrong()
        if what == "end" or value.kind != pack.DATA:
            return self._wrong()
        self._data, self._used, self._offset = value, 0, 0
        return True

    def _wrong(self) -> bool:
        raise AgentError("PROTOCOL", f"appliance: READ: the answer does not hold the chunks of row {self._row}")

    def end(self) -> None:
        """All rows were taken: only END may follow."""
        if self._data is not None or next(self._stream, None) is not None:
            raise AgentError("PROTOCOL", "appliance: READ: the answer holds more chunks than were asked for")


def _spans(ref: tuple, chunks: int) -> list:
    """Rows of a READ that together are the whole file; one of nothing for a file without data."""
    if not chunks:
        return [(*ref, 0, 0)]
    return [(*ref, first, min(_SPAN_CHUNKS, chunks - first)) for first in range(0, chunks, _SPAN_CHUNKS)]
