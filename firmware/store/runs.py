"""Which packs hold the chunks of a file object's runs. Used when file objects arrive, are read and are freed."""

from firmware.formats import fileobject
from firmware.formats import pack as packs
from hal.errors import CorruptData

_WINDOW = 65536  # chunks looked up in one go


def pieces(catalog, runs):
    """Generator of (group, first of pack, pack row, from, to): chunk positions within packs, in file order; holes left out.

    Raises CorruptData where a chunk is in no pack.
    """
    for group, first, count in runs:
        if group == fileobject.HOLE_GROUP:
            continue
        at = first
        for pack_first, row in catalog.packs(packs.DATA, group, first, first + count):
            if pack_first > at:
                break
            end = min(first + count, pack_first + row.count)
            yield group, pack_first, row, at - pack_first, end - pack_first
            at = end
        if at != first + count:
            raise CorruptData("chunk %d of BDF %d is in no pack" % (at, group))


def present(catalog, run):
    """As `pieces` of one run, in windows however long it is; chunks that are in no pack are left out."""
    group, at, count = run
    end = at + count
    while group != fileobject.HOLE_GROUP and at < end:
        stop = min(end, at + _WINDOW)
        for first, row in catalog.packs(packs.DATA, group, at, stop):
            yield group, first, row, max(at - first, 0), min(end, first + row.count) - first
            at = first + row.count
        at = max(at, stop)


def covered(runs, by) -> bool:
    """Whether every chunk of `runs` (one group each) lies in some run of `by`."""
    spans = joined(by)
    return all([within(run, spans) for run in runs])


def within(run, spans: list) -> bool:
    """Whether every chunk of `run` lies in `spans`, which `joined` made."""
    group, first, count = run
    at = _last(spans, group, first)
    return at >= 0 and spans[at][0] == group and spans[at][2] >= first + count


def joined(runs) -> list:
    """Sorted [group, first, end] that overlap nowhere and touch nowhere."""
    spans = []
    for group, first, count in sorted([run for run in runs if run[0] != fileobject.HOLE_GROUP]):
        if spans and spans[-1][0] == group and spans[-1][2] >= first:
            spans[-1][2] = max(spans[-1][2], first + count)
        else:
            spans.append([group, first, first + count])
    return spans


def _last(spans: list, group: int, first: int) -> int:
    """Index of the last span that begins at or before this chunk, -1 if there is none."""
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if (spans[middle][0], spans[middle][1]) <= (group, first):
            low = middle + 1
        else:
            high = middle
    return low - 1
