"""The end of a rebuild: what nothing needs goes, segments get their weight, and with the last transaction it is a catalog. See rebuild.py."""

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from firmware.formats import pack as packs
from firmware.store.catalog import Catalog
from firmware.store.log import record_bytes
from firmware.store.rebuild_work import SLICE, WORK, prune
from firmware.store.tally import needed_bytes
from hal.loop import sleep_ms

_MARGIN = 1 << 16  # groups above the highest found that are not given out: agents may remember backups of which nothing is left
_COUNTED = (("segments", layout.SEGMENTS), ("clients", layout.CLIENTS), ("views", layout.VIEWS), ("packs", layout.PACKS))


async def end(rebuild) -> dict:
    """{"segments", "clients", "views", "packs", "damaged"} of a rebuild.Rebuild whose references are counted."""
    kv = rebuild.kv
    await prune(kv, layout.PACKS, lambda txn, key, value: layout.PACK.unpack(value).live == 0)
    await prune(kv, layout.GROUPS, _is_empty)
    await _weigh(rebuild)
    await prune(kv, WORK, lambda txn, key, value: True)
    return _finish(rebuild)


def _is_empty(txn, key: bytes, value: bytes) -> bool:
    """Whether a group has no packs left."""
    catalog = Catalog(txn)
    group = int.from_bytes(key, "big")
    spans = [(layout.item_key(kind, group, 0), layout.item_key(kind, group + 1, 0)) for kind in packs.KINDS]
    return not any([catalog.end(layout.PACKS, start, stop) for start, stop in spans])


def _weighed(value: bytes, live: int) -> bytes:
    """A SEGMENT row with so many live bytes."""
    row = layout.SEGMENT.unpack(value)
    return layout.SEGMENT.pack(row.state, row.area, row.tail, live, row.newest)


async def _weigh(rebuild) -> None:
    """SEGMENT.live; a segment without any is free."""
    txn = rebuild.kv.begin()
    try:
        needed = await needed_bytes(txn, rebuild.superblock.segments, record_bytes, False)
    finally:
        txn.abort()
    if rebuild.roster[1] is not None:
        needed[rebuild.roster[2]] += rebuild.roster[3]
    for at in range(0, rebuild.superblock.segments, SLICE):
        txn = rebuild.kv.begin(write=True)
        for segment in range(at, min(at + SLICE, rebuild.superblock.segments)):
            key = layout.number_key(segment)
            value = txn.get(layout.SEGMENTS, key)
            if value and needed[segment]:
                txn.put(layout.SEGMENTS, key, _weighed(value, needed[segment]))
            elif value:
                txn.delete(layout.SEGMENTS, key)
        txn.commit()
        await sleep_ms(0)


def _finish(rebuild) -> dict:
    txn = rebuild.kv.begin(write=True)
    counts = {name: sum([1 for _ in txn.scan(table)]) for name, table in _COUNTED}
    sequence, client, group = rebuild.highest
    numbers = (
        (layout.META_EPOCH, sequence >> disk_format.SEQUENCE_BITS),
        (layout.META_CLIENT, client),
        (layout.META_GROUP, min(group + _MARGIN, 0xFFFFFFFF)),
    )
    for name, number in numbers:
        txn.put(layout.META, name, layout.NUMBER.pack(number))
    if rebuild.roster[1] is not None:
        txn.put(layout.META, layout.META_ROSTER, layout.PLACE.pack(*rebuild.roster[2:]))
    txn.put(layout.META, layout.META_UUID, rebuild.superblock.uuid)  # from here on it is a catalog
    txn.commit()
    return dict(counts, damaged=rebuild.damaged)
