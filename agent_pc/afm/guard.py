"""The interface of everything that holds a file still while it is read: clones (afm.clone), a guarded mount, plain reading (afm.plain).

Used by afm.sources, which tries the ways in order, and by bdm.reader, which reads.
"""

import io
import os

from firmware.formats import dtf


class Frozen:
    """A file as it was at one moment. `status`: its stat of that moment.

    `handle`: a descriptor, valid until `close`, on which os.pread and os.lseek (SEEK_DATA, SEEK_HOLE) give the contents of that moment.
    """

    def __init__(self, handle: int, status: os.stat_result, label: int = dtf.SNAPSHOT):
        self._file = io.FileIO(handle)  # closes the descriptor also if everybody forgets this object
        self.handle = handle
        self.status = status
        self.label = label

    def verdict(self) -> tuple[int, str]:
        """(dtf label, "" or what went wrong): asked after everything was read."""
        return self.label, ""

    def close(self) -> None:
        self._file.close()


class Guard:
    """A way to hold files still. `least_bytes`: smaller files are first read as they are, and checked for a change."""

    least_bytes = 0

    def open(self, path: bytes) -> Frozen | None:
        """The regular file as it is at this moment, however long it is read; None where this way does not work. Never follows a link."""
        raise NotImplementedError
