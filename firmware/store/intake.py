"""Checks what an agent sends, item by item, before the store takes it: file objects and DTF nodes. Called by backup.py.

Nothing here trusts the agent: sizes, signatures and references are compared with what the store holds.
"""

import struct

from firmware.formats import dtf, fileobject, limits, rfe
from firmware.formats import pack as packs
from firmware.formats.record import FormatError
from firmware.formats.refusal import Refusal

_EVEN = 64  # chunks of full size seen at once


def parse_file(data):
    """FILE tuple of one item. Raises Refusal PROTOCOL."""
    try:
        row = fileobject.FILE.unpack(data)
    except FormatError as error:
        raise Refusal("PROTOCOL", str(error))
    if row.flags & ~fileobject.IRREGULAR:
        raise Refusal("PROTOCOL", "file.FILE.flags: expected 0 or 1, got %d" % row.flags)
    if not 0 < row.chunk_bytes <= limits.CHUNK_BYTES:
        raise Refusal("PROTOCOL", "file.FILE.chunk_bytes: expected 1 to %d, got %d" % (limits.CHUNK_BYTES, row.chunk_bytes))
    for group, first, count in row.runs:
        if group != fileobject.HOLE_GROUP and (count == 0 or first + count > 0xFFFFFFFF):
            raise Refusal("PROTOCOL", "file.RUN: expected 1 or more chunks below 2^32, got %d from %d" % (count, first))
    return row


def rfe_entry(group: int, index: int, row) -> bytes:
    """Value in the RFE table for a file object, under its crc."""
    return rfe.ENTRY.pack(index, group, row.size, row.signature[:8])


def offered(row) -> bool:
    """Whether the redundant file elimination may name this file object to others: nothing but data, in chunks of today's size.

    The signature of one that is cut IRREGULARly is checked before anybody is given it (rfe_prove.py).
    """
    if any([run[0] == fileobject.HOLE_GROUP for run in row.runs]):
        return False
    return not row.flags or row.chunk_bytes == limits.chunk_size(row.size)


class Signature:
    """Canonical signature and size of a file object from its chunks' lengths and SUMs, fed in file order."""

    def __init__(self, hasher, chunk_bytes: int):
        self._hasher = hasher
        self._chunk_bytes = chunk_bytes
        self._even = struct.pack("<I", chunk_bytes) * _EVEN
        self._short = False
        self.size = 0
        self.regular = True

    def chunks(self, body, start: int, end: int) -> None:
        """Chunks start .. end-1 of a pack, by its table `body`."""
        if start == end:
            return
        self._hasher.update(packs.sums(body, start, end))
        last = end - 1
        while start < last and self._are_full(body, start, min(last, start + _EVEN)):
            self.size += self._chunk_bytes * (min(last, start + _EVEN) - start)
            start = min(last, start + _EVEN)
        for length in packs.lengths(body, start, end):
            self._length(length)

    def _are_full(self, body, start: int, end: int) -> bool:
        at = packs.HEADER.size + start * packs.LENGTH.size
        size = (end - start) * packs.LENGTH.size
        return not self._short and body[at : at + size] == self._even[:size]

    def chunk(self, length: int, sum_) -> None:
        self._length(length)
        self._hasher.update(sum_)

    def _length(self, length: int) -> None:
        if self._short or length > self._chunk_bytes or length == 0:
            self.regular = False
        self._short = length != self._chunk_bytes
        self.size += length

    def hole(self, length: int) -> None:
        self._short = False
        self.size += length
        self._hasher.update(bytes(28) + struct.pack("<Q", length))

    def digest(self) -> bytes:
        return self._hasher.digest()


def parse_node(data):
    """List of (kind, group, index) that one node refers to. Raises Refusal PROTOCOL."""
    try:
        head, at = dtf.NODE.unpack_from(data)
    except FormatError as error:
        raise Refusal("PROTOCOL", str(error))
    if head.kind not in (dtf.LIST, dtf.INDEX) or head.count > limits.NODE_ENTRIES:
        raise Refusal(
            "PROTOCOL",
            "dtf.NODE: expected kind 0 or 1 and at most %d entries, got %d and %d"
            % (limits.NODE_ENTRIES, head.kind, head.count),
        )
    if at + head.count * dtf.REF.size > len(data):
        raise Refusal("PROTOCOL", "dtf.NODE: expected %d references, got %d bytes" % (head.count, len(data) - at))
    flat = struct.unpack_from("<" + "BII" * head.count, data, at)
    refs = []
    for i in range(0, len(flat), 3):
        kind = flat[i]
        if kind == dtf.FILE and head.kind == dtf.LIST:
            refs.append((packs.FILES, flat[i + 1], flat[i + 2]))
        elif kind == dtf.NODE_REF:
            refs.append((packs.NODES, flat[i + 1], flat[i + 2]))
        elif kind != dtf.NOTHING or head.kind == dtf.INDEX:
            raise Refusal("PROTOCOL", "dtf.REF.kind: got %d in a node of kind %d" % (kind, head.kind))
    return refs
