"""Proven items of damaged packs that are not complete yet: one client gives some, another one the rest. Kept in memory, bounded."""

_BYTES = 8 << 20


class Parts:
    """By place: (pack key, segment, offset). After a restart everything is asked for again."""

    def __init__(self):
        self._parts = {}
        self._order = []
        self._bytes = 0

    def get(self, place) -> dict:
        """{position: bytes}"""
        return self._parts.get(place, {})

    def add(self, place, position: int, item: bytes) -> None:
        """The pack that came first goes when there is no room."""
        if place not in self._parts:
            self._parts[place] = {}
            self._order.append(place)
        if position not in self._parts[place]:
            self._parts[place][position] = item
            self._bytes += len(item)
        while self._bytes > _BYTES:
            self.drop(self._order[0])

    def drop(self, place) -> None:
        """The pack is whole, or gone."""
        if place in self._parts:
            self._order.remove(place)
            self._bytes -= sum([len(item) for item in self._parts.pop(place).values()])
