"""Which packs hold the chunks of a file object's runs. Used when file objects arrive, are read and are freed."""

from firmware.formats import fileobject
from firmware.formats import pack as packs
from hal.errors import CorruptData


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


def covered(runs, by) -> bool:
    """Whether every chunk of `runs` (one group each) lies in some run of `by`."""
    spans = sorted([(group, first, first + count) for group, first, count in by if group != fileobject.HOLE_GROUP])
    for group, first, count in runs:
        at = first
        for span_group, start, end in spans:
            if span_group == group and start <= at < end:
                at = end
        if at < first + count:
            return False
    return True
