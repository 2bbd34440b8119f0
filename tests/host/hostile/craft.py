"""Well-formed and not so well-formed packs, file objects and nodes, for the hostile-agent suite."""

from firmware.formats import dtf, fileobject, message, pack
from firmware.formats.limits import chunk_size
from firmware.store.packs import table_of
from tests.lab.wire import Wire, blake2b, make_pack, processor


def signature(data: bytes) -> bytes:
    """Canonical signature of a file without holes."""
    size = chunk_size(len(data))
    return blake2b(processor().sums(data, size))


def file_object(data: bytes, runs: list, crc: int = 0, base: tuple = (0, 0), **lies) -> bytes:
    """A file object of `data` whose chunks lie in `runs`. `lies` replace what it says: size, chunk_bytes, flags, signature."""
    told = {"size": len(data), "chunk_bytes": chunk_size(len(data)), "flags": 0, "signature": signature(data), **lies}
    return fileobject.FILE.pack(told["size"], told["chunk_bytes"], told["flags"], crc, *base, told["signature"], runs)


def node(refs: list) -> bytes:
    """A LIST node with an entry for each (kind, group, index)."""
    entries = [
        dtf.ENTRY.pack(dtf.REGULAR, 0, 0, 0o644, 0, 0, 0, 0, 1, at, 0, 5, 0, 0) + b"%05d" % at for at in range(len(refs))
    ]
    return dtf.NODE.pack(dtf.LIST, len(refs)) + b"".join([dtf.REF.pack(*ref) for ref in refs]) + b"".join(entries)


def send(wire: Wire, kind: int, grant, items: list, first: int = -1) -> None:
    """One pack of `items`; at the grant's next index unless `first` says otherwise."""
    wire.send_body(message.PACK, make_pack(kind, grant.group, grant[1 + kind] if first < 0 else first, items))


def framed(kind: int, group: int, first: int, items: list, payload: bytes, codec: int = pack.ZSTD, **lies) -> bytes:
    """A pack with this payload. `lies` replace what its header says: count, raw_bytes, stored_bytes."""
    table = table_of(processor(), items)
    told = {"count": len(items), "raw_bytes": sum(map(len, items)), "stored_bytes": len(payload), **lies}
    return pack.HEADER.pack(kind, codec, told["count"], group, first, told["raw_bytes"], told["stored_bytes"]) + table + payload


def zstd(data: bytes) -> bytes:
    """One frame of it."""
    room = bytearray(len(data) + 1024)
    return bytes(room[: processor().compress(data, room)])


def zstd_frame(window_log: int, size_field: bytes, blocks: bytes) -> bytes:
    """A frame made by hand (RFC 8878, 3.1.1): `size_field` of 0 or 8 bytes, window descriptor, `blocks` as given."""
    descriptor = 0xC0 if size_field else 0
    return b"\x28\xb5\x2f\xfd" + bytes((descriptor, (window_log - 10) << 3)) + size_field + blocks


def rle_block(byte: int, count: int, last: bool) -> bytes:
    """A block that repeats one byte `count` times: four bytes for up to 2 MiB."""
    return (int(last) | 1 << 1 | count << 3).to_bytes(3, "little") + bytes((byte,))
