"""Plays agents that back up: speaks the wire, makes DTF nodes of many entries fast. Runs in processes that `run.py` starts.

A client's tree is `/scale/AAAA/BBBB/files`: folders of _FOLDER_ENTRIES files. Files are small; of an entry's contents a share is
its own, the others are contents that the client has already (copies), as the cost to the store of an entry is its reference.
"""

import dataclasses
import random
import time
import zlib

import zstandard

from firmware.formats import dtf, fileobject, limits, message, pack
from firmware.formats.refusal import Refusal
from firmware.store.packs import table_of
from tests.lab.wire import blake2b, known, processor

_FOLDER_ENTRIES = 250
_FAN = 32  # folders in one above them
_CONTENT_BYTES = 40
_HOUR_NS = 3600 * 10**9
_TEMPLATES = 16
_PACK_NODES = 8  # near limits.PACK_AIM_BYTES
_TIMEOUT_S = 600


@dataclasses.dataclass
class Plan:
    """`entries` in the first view; `views` in all; `own`: share of the entries with contents of their own."""

    entries: int
    views: int
    own: float = 0.1


class Filler:
    """One client: `first()` makes its first view, `next()` each further one."""

    def __init__(self, address, identity, plan: Plan, seed: int):
        self._wire = known(address, identity)
        self._wire.socket.settimeout(_TIMEOUT_S)
        self._plan = plan
        self._rng = random.Random(seed)
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._time_ns = time.time_ns() - plan.views * _HOUR_NS
        self._folders: list = []  # (group, index) of each folder's node
        self._above: dict = {}  # number of a folder of folders -> its node
        self._entries = [self._template() for _ in range(_TEMPLATES)]

    def close(self) -> None:
        self._wire.close()

    def first(self) -> int:
        """Gives the number of the view."""
        grant = self._begin()
        own = max(int(self._plan.entries * self._plan.own), 1)
        self._contents(own)
        self._files_group, self._files = grant.group, own
        count = -(-self._plan.entries // _FOLDER_ENTRIES)
        for start in range(0, count, _PACK_NODES):
            folders = range(start, min(start + _PACK_NODES, count))
            self._folders += self._send(pack.NODES, [self._folder(number) for number in folders])
        return self._commit(range(0, count, _FAN))

    def next(self) -> int:
        """One new file, in one folder. Gives the number of the view."""
        self._begin()
        fresh = self._contents(1)[0]
        number = self._rng.randrange(len(self._folders))
        self._folders[number] = self._send(pack.NODES, [self._folder(number, fresh)])[0]
        return self._commit((number // _FAN * _FAN,))

    def _begin(self):
        grant = self._wire.ask("BEGIN", self._plan.entries, self._plan.entries * _CONTENT_BYTES, expect="GRANT")
        self._group = grant.group
        self._next = [grant.next_data, grant.next_file, grant.next_node]
        return grant

    def _contents(self, count: int) -> list:
        """Send `count` new contents; references to their file objects."""
        refs = []
        for start in range(0, count, limits.PACK_ITEMS):
            size = min(limits.PACK_ITEMS, count - start)
            chunks = [self._rng.randbytes(_CONTENT_BYTES) for _ in range(size)]
            placed = self._send(pack.DATA, chunks)
            refs += self._send(pack.FILES, [self._file(chunk, ref) for chunk, ref in zip(chunks, placed)])
        return refs

    def _file(self, chunk: bytes, ref: tuple) -> bytes:
        size = len(chunk)
        signature = blake2b(processor().sums(chunk, len(chunk)))
        return fileobject.FILE.pack(size, limits.chunk_size(size), 0, zlib.crc32(chunk), 0, 0, signature, [(*ref, 1)])

    def _template(self) -> list:
        """Packed entries of one folder, by name."""
        times = [1_600_000_000_000_000_000 + self._rng.getrandbits(56) for _ in range(_FOLDER_ENTRIES)]
        return [_entry(dtf.REGULAR, b"file-%06d.txt" % n, at, self._rng.getrandbits(31)) for n, at in enumerate(times)]

    def _folder(self, number: int, fresh: tuple | None = None) -> bytes:
        """Node of a folder; `fresh`: a file object that one entry now has."""
        first, group = number * _FOLDER_ENTRIES, self._files_group
        count = min(_FOLDER_ENTRIES, self._plan.entries - first)
        refs = [dtf.REF.pack(dtf.FILE, group, (first + at) % self._files) for at in range(count)]
        if fresh:
            refs[self._rng.randrange(count)] = dtf.REF.pack(dtf.FILE, *fresh)
        return _node(refs, self._entries[number % _TEMPLATES][:count])

    def _commit(self, starts) -> int:
        """The folders above those from each of `starts` on are new; then the root."""
        for start in starts:
            below = self._folders[start : start + _FAN]
            [ref] = self._send(pack.NODES, [_parent(below, b"%04d", start)])
            self._above[start // _FAN] = ref
        [middle] = self._send(pack.NODES, [_parent([self._above[number] for number in sorted(self._above)], b"%04d", 0)])
        [root] = self._send(pack.NODES, [_parent([middle], b"scale", None)])
        self._time_ns += _HOUR_NS
        size = self._plan.entries * _CONTENT_BYTES
        return self._wire.ask("COMMIT", *root, self._time_ns, self._plan.entries, size, "", expect="COMMITTED").view

    def _send(self, kind: int, items: list) -> list:
        """(group, index) of each."""
        raw = b"".join(items)
        small = self._compressor.compress(raw)
        codec, payload = (pack.ZSTD, small) if len(small) < len(raw) else (pack.RAW, raw)
        first = self._next[kind]
        head = pack.HEADER.pack(kind, codec, len(items), self._group, first, len(raw), len(payload))
        table = table_of(processor(), items)
        self._wire.send_body(message.PACK, head + table + payload)
        self._next[kind] += len(items)
        return [(self._group, index) for index in range(first, first + len(items))]


def _entry(type_: int, name: bytes, time_ns: int = 10**18, inode: int = 1) -> bytes:
    mode = 0o755 if type_ == dtf.DIRECTORY else 0o644
    size = 0 if type_ == dtf.DIRECTORY else _CONTENT_BYTES
    return dtf.ENTRY.pack(type_, 0, 0, mode, 0, 0, time_ns, time_ns, 1, inode, size, len(name), 0, 0) + name


def _node(refs: list, entries: list) -> bytes:
    return dtf.NODE.pack(dtf.LIST, len(refs)) + b"".join(refs) + b"".join(entries)


def _parent(below: list, pattern: bytes, start) -> bytes:
    """Node of a folder of folders."""
    names = [pattern if start is None else pattern % (start + at) for at in range(len(below))]
    return _node([dtf.REF.pack(dtf.NODE_REF, *ref) for ref in below], [_entry(dtf.DIRECTORY, name) for name in names])


def fill(address, identities: list, plan: Plan, told) -> None:
    """All views of these clients, one client after the other.

    Puts (number of the view from 0, seconds) on the queue `told` after each, None at the end, the text of an error before it.
    """
    try:
        for seed, identity in enumerate(identities):
            filler = Filler(address, identity, plan, seed)
            for number in range(plan.views):
                began = time.monotonic()
                filler.next() if number else filler.first()
                told.put((number, time.monotonic() - began))
            filler.close()
    except (OSError, EOFError, AssertionError, Refusal) as error:
        told.put("%s: %s" % (type(error).__name__, error))
    told.put(None)
