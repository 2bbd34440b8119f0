"""NTFS range tracking: the USN journal gives version 4 records with the written extents of a file. Not on this platform.

Ref: Microsoft, FSCTL_USN_TRACK_MODIFIED_RANGES, USN_RECORD_V4 (RemainingExtents, NumberOfExtents, Extents[Offset, Length]);
enabled on a volume by `fsutil usn enablerangetracking`. A Windows build gives `journal` a reader of those records.
"""

from agent_pc.fda.regions import Regions
from agent_pc.fda.source import Moment, Source


class Journal:
    """What a platform with a journal of ranges must offer."""

    def position(self, handle: int) -> int:
        """The journal's place now: the next USN."""
        raise NotImplementedError

    def extents(self, handle: int, since: int, until: int) -> list | None:
        """[(offset, length)] written to the file between two places; None if the journal no longer goes back so far."""
        raise NotImplementedError


class RangeTracking(Source):
    """Regions by a journal; `journal` None: this platform has none, and every file is somebody else's."""

    def __init__(self, journal: Journal | None = None):
        self.journal = journal
        self.places: dict = {}  # signature -> USN

    def moment(self, path: bytes, handle: int) -> Moment | None:
        return _Tracked(self, handle) if self.journal is not None else None

    def drop(self, signature: bytes) -> None:
        self.places.pop(signature, None)


class _Tracked(Moment):
    def __init__(self, tracking: RangeTracking, handle: int):
        self.handle = handle
        self._tracking = tracking
        self._journal: Journal = tracking.journal  # type: ignore[assignment]
        self._place = self._journal.position(handle)

    def changed(self, since: bytes) -> Regions | None:
        place = self._tracking.places.get(since)
        found = self._journal.extents(self.handle, place, self._place) if place is not None else None
        return Regions([(offset, offset + length) for offset, length in found]) if found is not None else None

    def keep(self, signature: bytes) -> None:
        self._tracking.places[signature] = self._place

    def close(self) -> None:
        pass
