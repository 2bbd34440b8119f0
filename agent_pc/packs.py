"""Packs: opened with every check when they come, built and compressed when they go. Called by session, dtm and the tests."""

import hashlib
import itertools
import threading

import zstandard

from agent_pc.bdm import librsync
from agent_pc.exits import AgentError
from firmware.formats import pack
from firmware.formats.record import FormatError

LEVEL = 1  # zstd; higher ones cost more time than a LAN saves
_local = threading.local()


def blake(data) -> bytes:
    """BLAKE2b-256."""
    return hashlib.blake2b(data, digest_size=32).digest()


def build(kind: int, group: int, first: int, sums: list, buffers: list) -> bytes:
    """A pack of items, whose bytes are `buffers` one after the other and whose table is `sums` (bdm.sums.Sums) likewise."""
    raw = buffers[0] if len(buffers) == 1 else b"".join(buffers)
    raw_bytes = len(raw)
    codec, payload = pack.RAW, raw
    if raw_bytes:
        packed = _compressor().compress(raw)
        if len(packed) < raw_bytes:
            codec, payload = pack.ZSTD, packed
    head = pack.HEADER.pack(kind, codec, sum([part.count for part in sums]), group, first, raw_bytes, len(payload))
    return b"".join((head, *[part.lengths() for part in sums], *[part.rows for part in sums], payload))


def _compressor() -> zstandard.ZstdCompressor:
    """One of the calling thread: they are not shared."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    return _local.compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    return _local.decompressor


class Opened:
    """A pack after all checks. `raw`: memoryview of the items; `lengths`: of each; `offsets`: where each begins, and the end;
    `kind`, `first`, `group`."""

    def __init__(self, header, body, raw, lengths: tuple):
        self.kind = header.kind
        self.group = header.group
        self.first = header.first
        self.raw = raw
        self.lengths = lengths
        self.offsets = list(itertools.accumulate(lengths, initial=0))
        self._body = body

    def sums(self, first: int, end: int) -> memoryview:
        """SUMs of items first .. end-1, one after the other."""
        return pack.sums(self._body, first, end)

    def items(self, first: int = 0, end: int | None = None) -> list:
        """A memoryview for each item from `first` to before `end`."""
        at = self.offsets[first : None if end is None else end + 1]
        return [self.raw[start:stop] for start, stop in itertools.pairwise(at)]


def open_pack(body) -> Opened:
    """Check and decode a pack that came, and every item against its SUM. Raises AgentError(PROTOCOL), or LOST for a wrong one."""
    try:
        header, lengths, payload = pack.check(body)
    except FormatError as error:
        raise AgentError("PROTOCOL", f"appliance: {error}") from None
    view = memoryview(body)
    raw = view[payload:] if header.codec == pack.RAW else memoryview(_decode(view[payload:], header.raw_bytes))
    opened = Opened(header, view, raw, lengths)
    for first, end, size in pack.stretches(lengths):
        piece = raw[opened.offsets[first] : opened.offsets[end]]
        made = librsync.sums(piece, size).rows if size else pack.NOTHING * (end - first)
        if made != opened.sums(first, end):
            raise AgentError(
                "LOST", "appliance: an item of a pack failed its check; try again, then `store check` on the appliance"
            )
    return opened


def _decode(payload, raw_bytes: int) -> bytes:
    """Bounded before anything is allocated: the frame must name exactly the size that the header names."""
    try:
        if zstandard.get_frame_parameters(payload).content_size != raw_bytes:
            raise AgentError("PROTOCOL", "appliance: pack: zstd frame has another content size than its header")
        raw = _decompressor().decompress(payload, max_output_size=raw_bytes)
    except zstandard.ZstdError as error:
        raise AgentError("PROTOCOL", f"appliance: pack: {error}") from None
    if len(raw) != raw_bytes:
        raise AgentError("PROTOCOL", f"appliance: pack: expected {raw_bytes} bytes, got {len(raw)}")
    return raw
