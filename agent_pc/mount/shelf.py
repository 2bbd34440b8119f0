"""What was fetched, kept by last use within a bound, each thing fetched once however many threads want it. Used by agent_pc/mount."""

import threading
from collections import OrderedDict
from concurrent.futures import Future

from agent_pc.exits import AgentError


class Shelf:
    """`limit`: of the sum of `weigh(value)`. `fetch(keys)` gives {key: value}, an exception as value for one that cannot be had."""

    def __init__(self, limit: int, weigh, fetch):
        self._limit = limit
        self._weigh = weigh
        self._fetch = fetch
        self._lock = threading.Lock()
        self._held: OrderedDict = OrderedDict()
        self._coming: dict = {}
        self._weight = 0

    def take(self, key, with_it=()):
        """The value of `key`; if it must be fetched, those of `with_it` come in the same request. Raises what fetch gave for it."""
        held = self.look(key)
        if held is not None:
            return held
        future, mine = self._claim(key, with_it)
        if mine:
            self._bring(mine)
        return future.result()

    def bring(self, keys) -> None:
        """Fetch those of `keys` that are neither here nor coming; errors are told to who takes them, or to nobody."""
        _, mine = self._claim(None, keys)
        if mine:
            self._bring(mine)

    def has(self, key) -> bool:
        """Whether it is here or coming."""
        with self._lock:
            return key in self._held or key in self._coming

    def look(self, key):
        """The value if it is here, else None."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            return None

    def _claim(self, key, with_it) -> tuple:
        """(Future of `key`, {key: Future} that the caller has to bring)."""
        with self._lock:
            wanted = dict.fromkeys(([] if key is None else [key]) + list(with_it))
            mine: dict = {one: Future() for one in wanted if one not in self._held and one not in self._coming}
            self._coming.update(mine)
            future = self._coming.get(key)
            if future is None and key is not None:
                future = Future()
                future.set_result(self._held[key])
            return future, mine

    def _bring(self, mine: dict) -> None:
        came: dict = {}
        error: BaseException = AgentError("PROTOCOL", "the appliance's answer lacks what was asked for")
        try:
            came = self._fetch(list(mine))
        except BaseException as reason:  # noqa: BLE001  other threads wait for it
            error = reason
        if isinstance(error, AgentError) and error.name == "LOST" and len(mine) > 1:
            keys = list(mine)  # one damaged thing must not take the others with it
            for part in keys[: len(keys) // 2], keys[len(keys) // 2 :]:
                self._bring({key: mine[key] for key in part})
            return
        for key, future in mine.items():
            self._settle(key, future, came.get(key, error))

    def _settle(self, key, future: Future, value) -> None:
        with self._lock:
            del self._coming[key]
            if not isinstance(value, BaseException):
                self._keep(key, value)
        if isinstance(value, BaseException):
            future.set_exception(value)
        else:
            future.set_result(value)

    def _keep(self, key, value) -> None:
        self._held[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._limit and len(self._held) > 1:
            self._weight -= self._weigh(self._held.popitem(last=False)[1])
