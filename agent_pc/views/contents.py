"""Brings file objects and chunks of a view from the appliance. The one door to contents: restore and mount fetch through it.

A caller says what it wants in as few calls as it can (many refs, many spans); how that travels is this module's business.
"""

from typing import Any

from agent_pc.bdm import prints
from agent_pc.exits import AgentError
from agent_pc.views.layout import data_chunks
from firmware.formats import fileobject, pack
from firmware.formats.record import FormatError

_END: Any = ("end", None)


class Contents:
    """`source`: "disk" or "tape". Any thread may call; errors as Session's."""

    def __init__(self, session, source: str = "disk"):
        self._session = session
        self._source = source

    def files(self, refs: list):
        """Yield the file object (file.FILE) of each of `refs` [(group, index)] in order; a text in place of one that is lost or wrong."""
        for body in self._session.items(pack.FILES, refs, self._source):
            if body is None:
                yield "its file object is lost"
                continue
            try:
                file = fileobject.FILE.unpack(body)
                data_chunks(file.runs)
                yield file
            except (FormatError, AgentError) as error:
                yield str(error)

    def chunks(self, wanted: list):
        """Yield (data, lengths, problem) for each of `wanted` [(ref, file, first, count)]: chunks first .. first+count-1 of a file,
        holes not counted. data: their bytes, checked; None where `problem` says what is lost."""
        rows = [(*ref, first, count) for ref, _, first, count in wanted]
        stream = _Chunks(self._session.stream(self._session.read(rows, self._source)))
        for *_, count in wanted:
            yield _joined(list(stream.row(count)))
        stream.end()

    def lengths(self, ref: tuple, count: int) -> list:
        """Length of each of the `count` chunks of file object `ref`, holes left out. From the disk only. Raises Refusal, AgentError."""
        rows = prints.unpack(self._session.prints(self._session.prints_ask(ref), count))
        if len(rows) != count:
            raise AgentError("PROTOCOL", f"appliance: PRINTS: expected {count} rows, got {len(rows)}")
        return [row[0] for row in rows]


def _joined(parts: list) -> tuple:
    problem = next((part for part in parts if isinstance(part, str)), None)
    if problem is not None:
        return None, [], problem
    return b"".join([raw for raw, _, _ in parts]), [length for _, lengths, _ in parts for length in lengths], ""


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
        """Yield (raw, lengths, hashes) of the next row's `count` chunks, checked; a text in place of those that are lost."""
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
