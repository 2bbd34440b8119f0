"""Byte ranges of a file: sorted, merged, bounded in number. Used by agent_pc/fda and agent_pc/guard."""

from bisect import bisect_left, bisect_right

LIMIT = 1 << 16  # ranges kept exactly


class Regions:
    """A set of bytes. Beyond `limit` ranges it grows to coarser borders: it may hold more than was added, never less."""

    def __init__(self, ranges=(), limit: int = LIMIT):
        """`ranges`: [(start, end)], in any order."""
        self._starts: list = []
        self._ends: list = []
        self._limit = limit
        self._grain = 1
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Bytes start .. end-1."""
        if start >= end:
            return
        if self._grain > 1:
            start, end = start - start % self._grain, -(-end // self._grain) * self._grain
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        if len(self._starts) > self._limit:
            self._coarsen()

    def _coarsen(self) -> None:
        """Halve the number of ranges at least."""
        held = list(self)
        grain = max(self._grain, 1 << 12)
        while len(self._starts) > self._limit // 2:
            self._grain = grain = grain * 2
            self._starts, self._ends = [], []
            for start, end in held:
                start, end = start - start % grain, -(-end // grain) * grain
                if self._ends and self._ends[-1] >= start:
                    self._ends[-1] = max(end, self._ends[-1])
                else:
                    self._starts.append(start)
                    self._ends.append(end)

    def update(self, other: "Regions") -> None:
        for start, end in other:
            self.add(start, end)

    def within(self, start: int, end: int) -> list:
        """[(start, end)] of the parts in start .. end-1."""
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        return [(max(self._starts[at], start), min(self._ends[at], end)) for at in range(first, last)]

    def outside(self, start: int, end: int) -> list:
        """[(start, end)] of start .. end-1 that are not held."""
        found = []
        for held_start, held_end in self.within(start, end):
            if start < held_start:
                found.append((start, held_start))
            start = held_end
        if start < end:
            found.append((start, end))
        return found

    @property
    def bytes(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def __iter__(self):
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other) -> bool:
        return isinstance(other, Regions) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Regions({list(self)})"
