"""Which segments are free, open or sealed, and which may not be reused yet. Used by log.py, catalog changes and snapshots."""

from firmware.formats import catalog as tables
from hal.errors import NoSpace

_FREE = 0


class Segments:
    """States in memory, one byte a segment, loaded from the catalog.

    A freed segment is reused only when every pin taken before it was freed is released: readers and tape snapshots hold pins.
    `reused(segment)` is called before it is written anew: only then what was read from it is of no more use to anybody.
    """

    def __init__(self, count: int, reused=lambda segment: None):
        self.count = count
        self._reused = reused
        self._states = bytearray(count)
        self._used = bytearray((count + 7) // 8)  # a bit for each state that is not free
        self._free = count
        self._cursor = 0
        self._pins = {}
        self._next_pin = 0
        self._limbo = []  # (segment, pins that were held when it was freed)
        self._unapplied = {}  # segment -> records appended that no transaction has counted yet
        self._dirty = {}  # segment -> (state, area, tail, newest) for the next transaction

    def load(self, txn) -> list:
        """Take the states over. Gives [(segment, area, tail)] of the open ones; frees sealed ones that hold nothing."""
        heads = []
        empty = []
        for key, value in txn.scan(tables.SEGMENTS):
            segment = int.from_bytes(key, "big")
            row = tables.SEGMENT.unpack(value)
            if row.state == tables.SEALED and row.live == 0:
                empty.append(key)
                continue
            self._set(segment, row.state)
            self._free -= 1
            if row.state == tables.OPEN:
                heads.append((segment, row.area, row.tail))
        for key in empty:
            txn.delete(tables.SEGMENTS, key)
        return heads

    def _set(self, segment: int, state: int) -> None:
        self._states[segment] = state
        bit = 1 << (segment & 7)
        if state == _FREE:
            self._used[segment >> 3] &= ~bit
        else:
            self._used[segment >> 3] |= bit

    def used(self) -> bytes:
        """MAP_BODY.used: what is in use, or was taken for something that no transaction knows yet."""
        return bytes(self._used)

    def waiting_count(self) -> int:
        """Segments that were freed and wait for pins."""
        return len(self._limbo)

    def is_settled(self, segment: int) -> bool:
        """Whether every record appended to it is counted."""
        return segment not in self._unapplied and segment not in self._dirty

    def free_count(self) -> int:
        """Segments that can be had now; those waiting for pins do not count."""
        return self._free - len(self._limbo)

    def allocate(self, reserve: int) -> int:
        """A free segment, leaving `reserve` behind. Raises NoSpace."""
        if self.free_count() <= reserve:
            raise NoSpace("no free segment: %d of %d left, %d reserved" % (self.free_count(), self.count, reserve))
        waiting = [segment for segment, _ in self._limbo]
        while self._states[self._cursor] != _FREE or self._cursor in waiting:
            self._cursor = (self._cursor + 1) % self.count
        self._set(self._cursor, tables.OPEN)
        self._free -= 1
        self._reused(self._cursor)
        return self._cursor

    def appended(self, segment: int) -> None:
        """A record went into `segment` that no transaction knows."""
        self._unapplied[segment] = self._unapplied.get(segment, 0) + 1

    def settled(self, segment: int) -> None:
        """That record was counted by the transaction being made, or is given up."""
        left = self._unapplied[segment] - 1
        if left:
            self._unapplied[segment] = left
        else:
            del self._unapplied[segment]

    def note(self, segment: int, state: int, area: int, tail: int, newest: int) -> None:
        """For the next transaction: `tail` bytes of the segment are durable by then, `newest` is the highest BDF id in it."""
        self._states[segment] = state
        self._dirty[segment] = (state, area, tail, newest)

    def apply(self, txn, live_deltas: dict) -> list:
        """Write noted states and `live_deltas` {segment: bytes}; gives the segments that become free by this.

        Call `freed` with them after the transaction committed.
        """
        free = []
        for segment in set(self._dirty) | set(live_deltas):
            key = tables.number_key(segment)
            value = txn.get(tables.SEGMENTS, key)
            state, area, tail, live, newest = tables.SEGMENT.unpack(value) if value else (tables.OPEN, 0, 0, 0, 0)
            state, area, tail, newest = self._dirty.get(segment, (state, area, tail, newest))
            live += live_deltas.get(segment, 0)
            if state == tables.SEALED and live == 0 and segment not in self._unapplied:
                txn.delete(tables.SEGMENTS, key)
                free.append(segment)
            else:
                txn.put(tables.SEGMENTS, key, tables.SEGMENT.pack(state, area, tail, live, newest))
        return free

    def applied(self, free: list) -> None:
        """The transaction is durable."""
        kept = {}
        for segment in self._unapplied:
            if segment in self._dirty:
                kept[segment] = self._dirty[segment]  # look again when its records are settled
        self._dirty = kept
        pins = set(self._pins)
        for segment in free:
            self._set(segment, _FREE)
            self._free += 1
            if pins:
                self._limbo.append((segment, set(pins)))

    def pin(self) -> int:
        """Nothing that is in use now is overwritten until `unpin` of the number this gives."""
        self._next_pin += 1
        self._pins[self._next_pin] = True
        return self._next_pin

    def unpin(self, pin: int) -> None:
        del self._pins[pin]
        for _, pins in self._limbo:
            pins.discard(pin)
        self._limbo = [entry for entry in self._limbo if entry[1]]

    def pinned(self) -> int:
        """How many pins are held."""
        return len(self._pins)

    def states(self) -> bytes:
        """State of every segment, for snapshots and checks."""
        return bytes(self._states)
