"""The areas of the disk as quotas over segments: full (baselines), delta (what changed since), merge (workspace, the reserve).

A segment's area is where its writer put it. As data only goes stale with its BDF, a sealed segment whose newest BDF is older than every
BDF that an hourly or daily view stands for holds baselines only and counts as full. Used by keep.py and `show disk`.
"""

from firmware.formats import catalog as layout
from hal.loop import sleep_ms

_SLICE = 512  # rows looked at in one go, and changed in one transaction
_NO_GROUP = 0xFFFFFFFF


class Usage:
    """Segments in use by area, and the quotas, all in segments."""

    def __init__(self, total: int, free: int, counts: list, delta_percent: int, reserve: int):
        self.total = total
        self.free = free
        self.counts = counts
        self.reserve = reserve
        self.quotas = [0, total * delta_percent // 100, reserve]
        self.quotas[layout.FULL] = total - sum(self.quotas)

    def delta_percent_used(self) -> int:
        return 100 * self.counts[layout.DELTA] // max(1, self.quotas[layout.DELTA])

    def rows(self, segment_bytes: int) -> list:
        """[{"area", "used_bytes", "quota_bytes"}]"""
        return [
            {"area": name, "used_bytes": count * segment_bytes, "quota_bytes": quota * segment_bytes}
            for name, count, quota in zip(layout.AREA_NAMES, self.counts, self.quotas)
        ]


def reserve_segments(total: int, percent: int) -> int:
    """Segments that backups leave to merges, commits and deletions."""
    return max(2, total * percent // 100)


async def usage(store, delta_percent: int) -> Usage:
    counts = [0] * len(layout.AREA_NAMES)

    def look(txn, key, value):
        counts[layout.SEGMENT.unpack(value).area] += 1

    await _scan(store, layout.SEGMENTS, look)
    return Usage(store.segments.count, store.segments.free_count(), counts, delta_percent, store.log.reserve)


async def settle(store) -> int:
    """Give sealed segments to the areas that their contents belong to by now; gives how many moved."""
    oldest = await _oldest_group(store)
    wrong = []

    def look(txn, key, value):
        row = layout.SEGMENT.unpack(value)
        if _area(row, oldest) != row.area and len(wrong) < _SLICE:
            wrong.append(key)

    await _scan(store, layout.SEGMENTS, look)
    keys = [key for key in wrong if store.segments.is_settled(int.from_bytes(key, "big"))]
    if keys:
        await store.apply(lambda catalog, live: _move(catalog.txn, keys, oldest))
    return len(keys)


def _area(row, oldest: int) -> int:
    if row.state != layout.SEALED or row.area == layout.FULL:
        return row.area
    return layout.FULL if row.newest < oldest else layout.DELTA


def _move(txn, keys: list, oldest: int) -> None:
    for key in keys:
        value = txn.get(layout.SEGMENTS, key)
        if value is not None:
            row = layout.SEGMENT.unpack(value)
            txn.put(layout.SEGMENTS, key, layout.SEGMENT.pack(row.state, _area(row, oldest), row.tail, row.live, row.newest))


async def _oldest_group(store) -> int:
    """The oldest BDF that a view which is no baseline stands for, or that a backup under way writes."""
    found = [_NO_GROUP]

    def look(txn, key, value):
        row = layout.VIEW.unpack(value)
        if row.kind != layout.BASELINE:
            found[0] = min(found[0], row.first_group)

    def look_client(txn, key, value):
        pending = layout.CLIENT.unpack(value).pending
        if pending:
            found[0] = min(found[0], pending)

    await _scan(store, layout.VIEWS, look)
    await _scan(store, layout.CLIENTS, look_client)
    return found[0]


async def _scan(store, table: str, look) -> None:
    txn = store.kv.begin()
    try:
        seen = 0
        for key, value in txn.scan(table):
            look(txn, key, value)
            seen += 1
            if seen % _SLICE == 0:
                await sleep_ms(0)
    finally:
        txn.abort()
