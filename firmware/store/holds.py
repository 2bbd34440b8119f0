"""Items that a running backup may refer to although no transaction says so yet. The collector leaves them alone."""


class Holds:
    """Counts by item number (firmware.formats.catalog.item_number)."""

    def __init__(self):
        self._counts = {}

    def add(self, item: int) -> None:
        self._counts[item] = self._counts.get(item, 0) + 1

    def drop(self, item: int) -> None:
        left = self._counts[item] - 1
        if left:
            self._counts[item] = left
        else:
            del self._counts[item]

    def __contains__(self, item: int) -> bool:
        return item in self._counts
