"""Items that a running backup may refer to although no transaction says so yet. The collector leaves them alone."""


class Holds:
    """Counts by item key."""

    def __init__(self):
        self._counts = {}

    def add(self, key: bytes) -> None:
        self._counts[key] = self._counts.get(key, 0) + 1

    def drop(self, key: bytes) -> None:
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]

    def __contains__(self, key: bytes) -> bool:
        return key in self._counts
