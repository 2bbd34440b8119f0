"""Items that a running backup may refer to although no transaction says so yet. The collector leaves them alone."""

_RENEW = 256


class Holds:
    """Counts by item number (firmware.formats.catalog.item_number)."""

    def __init__(self):
        self._counts = {}
        self._dropped = 0

    def add(self, item: int) -> None:
        self._counts[item] = self._counts.get(item, 0) + 1

    def drop(self, item: int) -> None:
        left = self._counts[item] - 1
        if left:
            self._counts[item] = left
        else:
            del self._counts[item]
            self._dropped += 1
            if self._dropped > len(self._counts) + _RENEW:
                self._renew()

    # MicroPython's dict keeps a mark for each key that was deleted (a copy of it, too), and a look-up goes through all marks that follow one another:
    # after some thousand numbers in a row each took 100 us.
    def _renew(self) -> None:
        self._counts = dict(self._counts.items())
        self._dropped = 0

    def __contains__(self, item: int) -> bool:
        return item in self._counts
