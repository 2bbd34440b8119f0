"""Takes the chunks of files as they come and has them written. The writing thread of a restore, fed by agent_pc/restore/files.py."""

from agent_pc.dtm.line import Line, Pipe
from agent_pc.incoming import Incoming
from agent_pc.restore.writer import Writer, Wrong
from firmware.formats import pack

_STOP_S = 10


class Taking:
    """`target`: restore.paths.Target of this thread. `outcome`, `verify`: see restore.files.Files."""

    def __init__(self, session, source: str, target, line: Line, asked: Pipe, outcome, progress, verify: bool):
        self._session = session
        self._source = source
        self._target = target
        self._line = line
        self._asked = asked
        self._outcome = outcome
        self._progress = progress
        self._verify = verify
        self._thread = line.thread("write", self._run)

    # -- the walk's thread

    def put(self, parts: list, rows: list) -> None:
        """Ask for `rows` (Plan.rows). `parts` [(Writer, items that come next, whether it is complete then)] says what becomes of them."""
        self._asked.put((parts, rows, self._session.fetch(pack.DATA, rows, self._source) if rows else None))

    def finish(self) -> None:
        """Wait until all is written."""
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
