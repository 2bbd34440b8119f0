"""Chunk tables of packs, for signatures and fingerprint sets: the last ones kept in memory, others read from the disk."""

from firmware.formats import pack as packs

_KEPT_BYTES = 1 << 20


class Tables:
    """A table is the front of a pack: HEADER, LENGTHs and SUMs, no payload."""

    def __init__(self, log, reader):
        self._log = log
        self._reader = reader
        self._kept = {}
        self._order = []
        self._bytes = 0

    def keep(self, row, body) -> None:
        """Remember the table of a pack that was just appended."""
        table = bytes(body[: packs.front(row.count)])
        key = (row.segment, row.offset)
        if key not in self._kept:
            self._order.append(key)
            self._bytes += len(table)
        self._kept[key] = table
        while self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._kept.pop(self._order.pop(0)))

    async def get(self, row):
        """Raises CorruptData, MediumError."""
        found = self._kept.get((row.segment, row.offset))
        if found is None:
            await self._log.written()
            found = bytes((await self._reader.table(row))[1])
            self.keep(row, found)
        return found

    def forget(self, segments) -> None:
        """These segments may be written anew."""
        for key in [key for key in self._order if key[0] in segments]:
            self._order.remove(key)
            self._bytes -= len(self._kept.pop(key))
