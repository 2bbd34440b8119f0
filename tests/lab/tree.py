"""A small flat directory backed up and restored through tests.lab.wire, to see that an honest client is served."""

import binascii

from firmware.formats import dtf, fileobject, message, pack, rfe
from firmware.formats.limits import chunk_size
from tests.lab.wire import Wire, blake2b, make_pack, processor

TIME_NS = 1700000000000000000


def backup(wire: Wire, files: dict) -> int:
    """{name: content} becomes a view; gives its number. Contents are cut into chunks as an agent cuts them."""
    grant = wire.ask("BEGIN", len(files), sum(map(len, files.values())), expect="GRANT")
    chunks, objects, entries = [], [], []
    for name in sorted(files):
        runs = []
        size = chunk_size(len(files[name]))
        pieces = [files[name][at : at + size] for at in range(0, len(files[name]), size)]
        if pieces:
            runs = [(grant.group, grant.next_data + len(chunks), len(pieces))]
        chunks += pieces
        signature = blake2b(processor().sums(files[name], size))
        crc = binascii.crc32(rfe.KEY.pack(len(files[name]), TIME_NS) + name)
        objects.append(fileobject.FILE.pack(len(files[name]), size, 0, crc, 0, 0, signature, runs))
        entries.append((name, len(files[name])))
    send(wire, pack.DATA, grant.group, grant.next_data, chunks)
    send(wire, pack.FILES, grant.group, grant.next_file, objects)
    send(wire, pack.NODES, grant.group, grant.next_node, [_node(entries, grant)])
    values = (grant.group, grant.next_node, TIME_NS, len(files), sum(map(len, files.values())), "")
    return wire.ask("COMMIT", *values, expect="COMMITTED").view


def send(wire: Wire, kind: int, group: int, first: int, items: list) -> None:
    """Items of one kind in packs of at most 64."""
    for at in range(0, len(items), 64):
        wire.send_body(message.PACK, make_pack(kind, group, first + at, items[at : at + 64]))


def _node(entries: list, grant) -> bytes:
    refs = [dtf.REF.pack(dtf.FILE, grant.group, grant.next_file + at) for at in range(len(entries))]
    rows = [
        dtf.ENTRY.pack(dtf.REGULAR, 0, 0, 0o644, 0, 0, TIME_NS, TIME_NS, 1, at, size, len(name), 0, 0) + name
        for at, (name, size) in enumerate(entries)
    ]
    return dtf.NODE.pack(dtf.LIST, len(entries)) + b"".join(refs) + b"".join(rows)


def restore(wire: Wire, view: int) -> dict:
    """{name: content} of a view that `backup` made."""
    views = {row[0]: message.VIEW.tuple(*row) for row in wire.ask("VIEWS_GET", message.DISK, 0, expect="VIEWS").views}
    root = views[view]
    nodes, lost = wire.fetch("ITEMS_GET", message.DISK, pack.NODES, [(root.root_group, root.root_index, 1, 0, 0)])
    assert not lost, lost
    node = nodes[0]
    head, at = dtf.NODE.unpack_from(node)
    refs = []
    for _ in range(head.count):
        ref, at = dtf.REF.unpack_from(node, at)
        refs.append(ref)
    files = {}
    for ref in refs:
        entry, at = dtf.ENTRY.unpack_from(node, at)
        name = node[at : at + entry.name_bytes]
        at += entry.name_bytes
        [body], lost = wire.fetch("ITEMS_GET", message.DISK, pack.FILES, [(ref.group, ref.index, 1, 0, 0)])
        runs = [tuple(run) + (ref.group, ref.index) for run in fileobject.FILE.unpack(body).runs]
        chunks, lost = wire.fetch("ITEMS_GET", message.DISK, pack.DATA, runs)
        assert not lost, lost
        files[name] = b"".join(chunks)
        assert len(files[name]) == entry.size
    return files
