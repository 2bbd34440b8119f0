"""Sliding fingerprint (SFP): new contents as old chunks and literal data. Called by bdm.reader for one file at a time.

Ref: Tridgell and Mackerras, The rsync algorithm, 1996; patent, block differencing. While chunks lie where they lay, their sums are
compared in place; from where they have moved, librsync finds those of full size wherever they lie now, and the short last one at the
end. Odd chunks, left by earlier differences, are found beside their neighbours.
"""

import itertools

from agent_pc.bdm import librsync
from agent_pc.bdm import prints as sets
from agent_pc.bdm.alike import alike, stretches
from agent_pc.bdm.old import Old
from agent_pc.packs import blake
from firmware.formats import fileobject

_LITERAL_BYTES = 1 << 18


class Misfit(Exception):
    """The old version and its fingerprints do not fit together: send the file as a new one."""


class Difference:
    """Makes messages for one file: ("runs", [(group, first, count)], prints) and ("chunks", buffer, Sums).

    `fresh_bytes` counts literal data. `irregular` tells whether the chunks lie otherwise than canonical ones would.
    """

    def __init__(self, old: Old):
        self._old = old
        self._chunk = old.file.chunk_bytes
        self._rows: list = []
        self._sums: librsync.SumSet | None = None  # made when it is needed
        self.fresh_bytes = 0
        self.irregular = False

    def close(self) -> None:
        if self._sums is not None:
            self._sums.close()

    def extent(self, offset: int, pairs):
        """Yield messages for the extent of data that begins at `offset`, of which (bytes, Sums) come in order."""
        self._short = False  # a short chunk was made in this extent
        pairs = iter(pairs)
        if not self._lies_even() or offset % self._chunk:
            yield from self._slide((data for data, _ in pairs), -1, self._old.chunks)
            return
        ordinal = offset // self._chunk
        held: tuple = ()  # the end of a block, if it is new: its block goes with the next one if all of that has moved
        for block, sums in pairs:
            same = alike(sums.prints(), sets.part(self._old.prints, ordinal, sums.count), sets.PRINT.size)
            if 2 * sum(same) < len(same):
                data, first = held or (b"", ordinal)
                blocks = itertools.chain([data, block], (data for data, _ in pairs))
                yield from self._slide(blocks, first - 1, self._old.chunks)
                return
            yield from self._new(held, ordinal)
            known = len(same) - same[::-1].index(True)
            yield from self._in_place(block, sums, same[:known], ordinal)
            held = (block[known * self._chunk :], ordinal + known) if known < len(same) else ()
            ordinal += sums.count
        yield from self._new(held, self._old.chunks)

    def _lies_even(self) -> bool:
        """Whether chunk k of the old version began at k times the size of a chunk."""
        file = self._old.file
        return not file.flags & fileobject.IRREGULAR and self._old.chunks == -(-file.size // self._chunk) and not _holes(file)

    def _in_place(self, block: bytes, sums, same: list, ordinal: int):
        """Messages for chunks from `ordinal` on, which are the old ones or not."""
        for first, end, known in stretches(same):
            if known:
                self._made(self._chunk, end - first - 1)
                self._made(sums.last if end == sums.count else self._chunk)
                yield self._refer(ordinal + first, end - first)
            else:
                yield from self._new((block[first * self._chunk : end * self._chunk], ordinal + first), ordinal + end)

    def _new(self, held: tuple, right: int):
        """Messages for (bytes, ordinal of the old chunk that was there), before the old chunk `right`."""
        if held:
            yield from self._slide([held[0]], held[1] - 1, right)

    def _prepare(self) -> librsync.SumSet:
        rows = self._rows = sets.unpack(self._old.prints)
        if sum([row[0] for row in rows]) + _holes(self._old.file) != self._old.file.size:
            raise Misfit("fingerprints do not add up to the file's size")
        last = len(rows) - 1
        self._blocks = [at for at, row in enumerate(rows) if row[0] == self._chunk or (at == last and row[0] < self._chunk)]
        self._sums = librsync.SumSet(self._chunk, [rows[at][1:] for at in self._blocks])
        return self._sums

    def _slide(self, blocks, left: int, right: int):
        """Messages for `blocks` (bytes) between the old chunks `left` and `right`."""
        self._left = left
        delta = librsync.Delta(self._sums or self._prepare())
        self._literal = bytearray()
        self._fixed = False  # the literal's beginning was looked at and partly sent
        try:
            held = None
            for block in blocks:
                if held is not None:
                    yield from self._commands(delta.feed(held, False))
                held = block
            yield from self._commands(delta.feed(held or b"", True))
            yield from self._flush(right)
        finally:
            delta.close()

    def _commands(self, commands: list):
        for command in commands:
            if command[0] == "literal":
                self._literal += command[1]
                if len(self._literal) >= 2 * _LITERAL_BYTES:
                    yield from self._relieve()
            else:
                yield from self._copy(command[1], command[2])

    def _copy(self, position: int, length: int):
        first, end = position // self._chunk, -(-(position + length) // self._chunk)
        if position % self._chunk or end > len(self._blocks):
            raise Misfit("a match is not at a chunk")
        ordinals = self._blocks[first:end]
        if sum([self._rows[at][0] for at in ordinals]) != length:
            raise Misfit("a match is not as long as its chunks")
        yield from self._flush(ordinals[0])
        for start, count in _ranges(ordinals):
            yield self._reuse(start, count)
        self._left = ordinals[-1]

    def _reuse(self, first: int, count: int) -> tuple:
        for at in range(first, first + count):
            self._made(self._rows[at][0])
        return self._refer(first, count)

    def _refer(self, first: int, count: int) -> tuple:
        return "runs", self._old.refs(first, count), sets.part(self._old.prints, first, count)

    def _made(self, length: int, count: int = 1) -> None:
        """`count` chunks. Only the last chunk of an extent may be short."""
        if count:
            self.irregular = self.irregular or self._short or length > self._chunk or (count > 1 and length != self._chunk)
            self._short = self._short or length != self._chunk

    def _relieve(self):
        """A long literal: send what is certain of it."""
        yield from self._prefix(len(self._rows))
        keep = len(self._literal) % self._chunk or self._chunk
        yield from self._send(bytes(self._literal[:-keep]))
        del self._literal[:-keep]

    def _flush(self, right: int):
        """The literal is complete; the old chunk after it is `right`."""
        if self._literal:
            yield from self._prefix(right)
            tail = self._suffix(right)
            yield from self._send(bytes(self._literal))
            for at in tail:
                yield self._reuse(at, 1)
        self._literal = bytearray()
        self._fixed = False

    def _prefix(self, right: int):
        """Old chunks that follow the one on the left and begin the literal."""
        at = self._left + 1
        while not self._fixed and at < right and self._holds(at, 0):
            del self._literal[: self._rows[at][0]]
            yield self._reuse(at, 1)
            at += 1
        self._left = at - 1
        self._fixed = True

    def _suffix(self, right: int) -> list:
        """Old chunks that precede the one on the right and end the literal; they are cut off it."""
        found, at = [], right - 1
        while at > self._left and self._holds(at, len(self._literal) - self._rows[at][0]):
            del self._literal[len(self._literal) - self._rows[at][0] :]
            found.append(at)
            at -= 1
        return found[::-1]

    def _holds(self, at: int, offset: int) -> bool:
        length, _, strong = self._rows[at]
        if offset < 0 or not length or offset + length > len(self._literal):
            return False
        return blake(memoryview(self._literal)[offset : offset + length])[:8] == strong

    def _send(self, data: bytes):
        if data:
            sums = librsync.sums(data, self._chunk)
            self._made(sums.chunk, sums.count - 1)
            self._made(sums.last)
            self.fresh_bytes += len(data)
            yield "chunks", data, sums


def _holes(file) -> int:
    """Bytes of all holes."""
    return sum([fileobject.hole_bytes(run) for run in file.runs if run[0] == fileobject.HOLE_GROUP])


def _ranges(ordinals: list) -> list:
    """[(first, count)] of consecutive ordinals."""
    out: list = []
    for at in ordinals:
        if out and out[-1][0] + out[-1][1] == at:
            out[-1][1] += 1
        else:
            out.append([at, 1])
    return out
