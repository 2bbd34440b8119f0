"""A mounted tape as a read-only disk: the addresses of the segments, served from the image stream. Used by the mount."""

from firmware.tape.source import rounded
from hal.disk import Disk
from hal.errors import MediumError, WriteProtected


class TapeDisk(Disk):
    """Reads of a segment's used part; `image` is a TapeImage. There is no alignment to keep."""

    align_bytes = 1

    def __init__(self, image):
        self._image = image
        self._base = image.index.base_bytes
        self._segment_bytes = image.index.segment_bytes
        self.name = "tape " + image.label.name
        last = image.segments.row(len(image.segments) - 1)[0] if len(image.segments) else -1
        self.size_bytes = self._base + (last + 1) * self._segment_bytes

    async def identify(self) -> dict:
        return {"model": self.name, "serial": "", "size_bytes": self.size_bytes}

    async def read(self, offset: int, buffer) -> None:
        """As hal.disk; within one segment. Raises MediumError beyond correction and for what is not on the tape."""
        number, within = divmod(offset - self._base, self._segment_bytes)
        place = self._image.segments.find(number) if offset >= self._base else None
        if place is None:
            raise MediumError("%s: byte %d of the disk is in no segment of the tape" % (self.name, offset))
        used_bytes, start = place
        # Readers of the disk align their reads: what lies behind the used part is zeros in the image as on the disk.
        if within + len(buffer) > rounded(used_bytes):
            raise MediumError(
                "%s: segment %d has %d bytes, asked for %d to %d"
                % (self.name, number, used_bytes, within, within + len(buffer))
            )
        await self._image.read(start + within, buffer)

    async def write(self, offset: int, buffer) -> None:
        raise WriteProtected("%s is mounted read-only" % self.name)

    async def flush(self) -> None:
        pass

    async def discard(self, offset: int, length: int) -> None:
        raise WriteProtected("%s is mounted read-only" % self.name)

    async def close(self) -> None:
        pass
