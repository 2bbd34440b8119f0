"""Decoded packs, the last ones used, within a bound of bytes. One for a store, whoever reads; made by firmware/store/packs.py."""

BYTES = 4 << 20  # some six packs as agents fill them


class PackCache:
    """Keys are (segment, offset). `era` rises when what is kept was forgotten: what was read before may be of a freed segment."""

    def __init__(self, most_bytes: int = BYTES):
        self._most = most_bytes
        self._rows = {}  # key -> (pack, bytes)
        self._order = []  # the oldest first
        self.bytes = 0
        self.era = 0

    def get(self, key):
        """The pack, or None."""
        row = self._rows.get(key)
        return row[0] if row is not None else None

    def keep(self, key, pack, era: int) -> None:
        """Unless it was read in an earlier era, or alone is too large."""
        size = len(pack.body) + len(pack.raw)
        if era != self.era or key in self._rows or size > self._most:
            return
        self._rows[key] = (pack, size)
        self._order.append(key)
        self.bytes += size
        while self.bytes > self._most:
            self.bytes -= self._rows.pop(self._order.pop(0))[1]

    def forget(self) -> None:
        """Drop all, for instance when segments are freed and may be written anew."""
        self._rows = {}
        self._order = []
        self.bytes = 0
        self.era += 1
