"""Sliding fingerprint (SFP): new contents as old chunks and literal data. Called by bdm.reader for one file at a time.

Ref: Tridgell and Mackerras, The rsync algorithm, 1996; patent, block differencing. librsync finds chunks of full size wherever they
lie now, and the short last one at the end. Odd chunks, left by earlier differences, are found beside their neighbours.
"""

from agent_pc.bdm import librsync
from agent_pc.bdm import prints as sets
from agent_pc.bdm.old import Old
from agent_pc.packs import blake

_LITERAL_BYTES = 1 << 18


class Misfit(Exception):
    """The old version and its fingerprints do not fit together: send the file as a new one."""


class Difference:
    """Makes messages for one file: ("runs", [(group, first, count)], prints) and ("chunks", buffer, rows).

    `fresh_bytes` counts literal data. `irregular` tells whether the chunks lie otherwise than canonical ones would.
    """

    def __init__(self, old: Old):
        self._old = old
        self._chunk = old.file.chunk_bytes
        rows = sets.unpack(old.prints)
        if sum([row[0] for row in rows]) + sum([_hole(run) for run in old.file.runs]) != old.file.size:
            raise Misfit("fingerprints do not add up to the file's size")
        self._rows = rows
        last = len(rows) - 1
        self._blocks = [at for at, row in enumerate(rows) if row[0] == self._chunk or (at == last and row[0] < self._chunk)]
        self._sums = librsync.SumSet(self._chunk, [rows[at][1:] for at in self._blocks])
        self._left = -1  # the old chunk before the literal
        self.fresh_bytes = 0
        self.irregular = False

    def close(self) -> None:
        self._sums.close()

    def extent(self, blocks):
        """Yield messages for one extent of data, whose `blocks` (bytes) come in order."""
        delta = librsync.Delta(self._sums)
        self._literal = bytearray()
        self._fixed = False  # the literal's beginning was looked at and partly sent
        self._short = False  # a short chunk was made in this extent
        try:
            held = None
            for block in blocks:
                if held is not None:
                    yield from self._commands(delta.feed(held, False))
                held = block
            yield from self._commands(delta.feed(held or b"", True))
            yield from self._flush(len(self._rows))
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
        return "runs", self._old.refs(first, count), sets.part(self._old.prints, first, count)

    def _made(self, length: int) -> None:
        """Only the last chunk of an extent may be short."""
        self.irregular = self.irregular or self._short or length > self._chunk
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
            rows = librsync.rows(data, self._chunk)
            for row in rows:
                self._made(row[0])
            self.fresh_bytes += len(data)
            yield "chunks", data, rows


def _hole(run: tuple) -> int:
    return run[1] << 32 | run[2] if not run[0] else 0


def _ranges(ordinals: list) -> list:
    """[(first, count)] of consecutive ordinals."""
    out: list = []
    for at in ordinals:
        if out and out[-1][0] + out[-1][1] == at:
            out[-1][1] += 1
        else:
            out.append([at, 1])
    return out
