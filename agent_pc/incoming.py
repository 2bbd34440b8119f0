"""What ITEMS_GET gives, taken apart in the order of the request: each item where it belongs, or the reason why it is lost.

Used by agent_pc/session.py for nodes and file objects, by agent_pc/restore for chunks.
"""

from typing import Any

from agent_pc.exits import AgentError
from firmware.formats import limits

_END: Any = ("end", None)


class Plan:
    """Rows of an ITEMS_GET; neighbours in one BDF share a row. `mine(group)`: whether the BDF is this client's."""

    def __init__(self, mine):
        self._mine = mine
        self.rows: list = []

    def add(self, group: int, first: int, count: int, file: tuple = (0, 0)) -> None:
        """Items first .. first+count-1 of a BDF; `file`: the file object through which they are read if it is another client's."""
        via = (0, 0) if self._mine(group) else file
        if self.rows and via == (0, 0):
            last = self.rows[-1]
            if last[0] == group and last[1] + last[2] == first and last[3] == 0:
                self.rows[-1] = (group, last[1], last[2] + count, 0, 0)
                return
        self.rows.append((group, first, count, *via))

    def full(self) -> bool:
        """Whether it has to be asked before more is added: a file object has up to limits.FILE_RUNS runs."""
        return len(self.rows) >= limits.REF_ROWS


class Incoming:
    """`stream` of a reply (Session.stream), `kind` and `rows` of its request. Raises AgentError(PROTOCOL) if they do not fit."""

    def __init__(self, stream, kind: int, rows: list):
        self._kind = kind
        self._stream = stream
        self._rows = rows
        self._row = 0
        self._at = 0  # items of the row that were taken
        self._data: Any = None  # packs.Opened that is partly used
        self._used = 0
        self._lost: Any = None  # wire.LOST that is partly used
        self._lost_left = 0

    def take(self, count: int):
        """Yield (packs.Opened, first, end, "") or (None, 0, n, text of the loss) until `count` items were named."""
        while count:
            if self._data is None and not self._lost_left:
                self._fetch()
            group, first, length = self._rows[self._row][:3]
            step = min(count, length - self._at)
            if self._lost_left:
                step = min(step, self._lost_left)
                self._lost_left -= step
                yield None, 0, step, self._lost.text
            else:
                data, start = self._data, self._used
                if data.group != group or data.first + start != first + self._at:
                    self._wrong(f"items from {data.first + start} of BDF {data.group}")
                step = min(step, len(data.lengths) - start)
                self._used += step
                if self._used == len(data.lengths):
                    self._data = None
                yield data, start, start + step, ""
            count -= step
            self._at += step
            if self._at == length:
                self._row, self._at = self._row + 1, 0

    def _fetch(self) -> None:
        what, value = next(self._stream, _END)
        if what == "lost":
            if (value.row, value.first) != (self._row, self._at) or not value.count:
                self._wrong(f"LOST of row {value.row} item {value.first}")
            self._lost, self._lost_left = value, value.count
        elif what == "data":
            if value.kind != self._kind:
                self._wrong(f"items of kind {value.kind}")
            self._data, self._used = value, 0
        else:
            self._wrong("END")

    def _wrong(self, came: str) -> None:
        group, first, _ = self._rows[self._row][:3]
        raise AgentError("PROTOCOL", f"appliance: ITEMS_GET: expected item {first + self._at} of BDF {group}, got {came}")

    def close(self) -> None:
        """The rest is not wanted."""
        self._stream.close()

    def end(self) -> None:
        """All items were taken: only END may follow."""
        if self._data is not None or self._lost_left or next(self._stream, None) is not None:
            raise AgentError("PROTOCOL", "appliance: ITEMS_GET: the answer holds more than was asked for")
