"""Numbers items and fills packs with them, in the order that references need. Used by agent_pc/backup.py, one thread."""

from agent_pc.bdm import librsync
from agent_pc.bdm.sums import Sums
from firmware.formats import limits, pack

_ITEMS = 512


class _Filling:
    """The pack of one kind that is being filled."""

    def __init__(self, kind: int, first: int):
        self.kind = kind
        self.first = first
        self.sums: list = []
        self.count = 0
        self.buffers: list = []
        self.raw_bytes = 0

    @property
    def next(self) -> int:
        return self.first + self.count


class Packer:
    """`send(kind, group, first, sums, buffers)` takes a full pack; `group` and `starts` (next index of each kind) are of the GRANT."""

    def __init__(self, send, group: int, starts: tuple):
        self._send = send
        self.group = group
        self._filling = [_Filling(kind, start) for kind, start in zip(pack.KINDS, starts, strict=True)]

    def chunks(self, buffer, sums: Sums) -> int:
        """Index of the first of the chunks `sums` of `buffer` (at most half a pack's limit)."""
        return self._add(pack.DATA, buffer, sums)

    def file(self, body: bytes) -> tuple:
        """(group, index) of a file object. Its chunks are here already."""
        return self.group, self._add(pack.FILES, body, librsync.sums(body, len(body)))

    def node(self, body: bytes) -> tuple:
        """(group, index) of a node. What it refers to is here already."""
        return self.group, self._add(pack.NODES, body, librsync.sums(body, len(body)))

    def _add(self, kind: int, buffer, sums: Sums) -> int:
        filling = self._filling[kind]
        if filling.count and (filling.raw_bytes + len(buffer) > limits.PACK_AIM_BYTES or filling.count + sums.count > _ITEMS):
            self.flush(kind)
            filling = self._filling[kind]
        index = filling.next
        filling.sums.append(sums)
        filling.count += sums.count
        filling.buffers.append(buffer)
        filling.raw_bytes += len(buffer)
        if filling.raw_bytes >= limits.PACK_AIM_BYTES:
            self.flush(kind)
        return index

    def flush(self, kind: int = pack.NODES) -> None:
        """Send what there is of `kind`, and before it all that it may refer to."""
        for filling in self._filling[: kind + 1]:
            if filling.count:
                self._send(filling.kind, self.group, filling.first, filling.sums, filling.buffers)
                self._filling[filling.kind] = _Filling(filling.kind, filling.next)
