"""One file as it was at one moment, while programs go on writing to it: copy-before-write. Used by guard.inodes, under the inode's lock.

Ref: patent, active file manager: "if the file is written to during the backup operation, the AFM preserves the data to be backed up".
"""

import errno
import os
from bisect import bisect_left, bisect_right

from agent_pc.fda.regions import Regions
from agent_pc.guard.spool import Full, Spool

_GRAIN = 4096
_PIECE = 1 << 20


class Frozen:
    """`handle`: the file, open for reading (becomes this object's); `status`: its stat at the moment."""

    def __init__(self, handle: int, spool: Spool):
        self.handle = handle
        self.status = os.fstat(handle)
        self.broken = ""  # why it is no longer what it was
        self.written = Regions()  # since the moment, whatever they held
        self.stamp = (0, 0)  # (mtime_ns, size) as the guard left the file last
        self._spool = spool
        self._saved = Regions()  # nothing in it needs to be saved
        self._released = Regions()
        self._starts: list = []
        self._rows: list = []  # (start, end, place in the spool), by start
        spool.enter()

    def before(self, start: int, end: int) -> None:
        """Bytes start .. end-1 are going to be overwritten: save what is not saved yet."""
        self.written.add(start, end)
        if self.broken:
            return
        low = start - start % _GRAIN
        high = min(-(-end // _GRAIN) * _GRAIN, self.status.st_size)
        try:
            for gap_start, gap_end in self._saved.outside(low, high) if low < high else ():
                for at in range(gap_start, gap_end, _PIECE):
                    self._save(at, min(at + _PIECE, gap_end))
        except Full as error:
            self.broken = f"{error}; give it more room or let the backup be faster"
        except OSError as error:
            self.broken = f"old contents could not be saved: {error.strerror}"

    def _save(self, start: int, end: int) -> None:
        data = os.pread(self.handle, end - start, start)
        data += bytes(end - start - len(data))
        place = self._spool.add(data)
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._rows.insert(at, (start, end, place))
        self._saved.add(start, end)

    def saved(self) -> list:
        """[(start, end)] of what only the spool has."""
        return [(start, end) for start, end, _ in self._rows]

    def release(self, start: int, end: int) -> None:
        """The reader has these bytes and will not read them again."""
        low, high = bisect_left(self._starts, start), bisect_left(self._starts, end)
        for row in self._rows[low:high]:
            self._spool.free(row[2], row[1] - row[0])
        del self._starts[low:high], self._rows[low:high]
        self._saved.add(start, end)
        self._released.add(start, end)

    def read(self, offset: int, length: int) -> bytes:
        """Contents at the moment; short at its end. Raises OSError for what was released."""
        end = min(offset + length, self.status.st_size)
        if self._released.within(offset, end):
            raise OSError(errno.EIO, "was released")
        out, at = [], offset
        while at < end:
            row = self._row(at)
            if row is not None:
                stop = min(end, row[1])
                out.append(self._spool.read(row[2] + at - row[0], stop - at))
            else:
                stop = min(end, self._next(at))
                piece = os.pread(self.handle, stop - at, at)
                out.append(piece + bytes(stop - at - len(piece)))
            at = stop
        return b"".join(out)

    def _row(self, offset: int):
        at = bisect_right(self._starts, offset) - 1
        return self._rows[at] if at >= 0 and offset < self._rows[at][1] else None

    def _next(self, offset: int) -> int:
        """Where the next saved piece begins."""
        at = bisect_right(self._starts, offset)
        return self._starts[at] if at < len(self._starts) else self.status.st_size

    def close(self) -> None:
        os.close(self.handle)
        self._spool.leave()
