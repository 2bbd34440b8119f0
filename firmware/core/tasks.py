"""Tasks that are watched, and the bounded queue between them. Every long-lived coroutine of the firmware is spawned here."""

import asyncio

from hal.loop import now_ms, sleep_ms

_BACKOFF_FIRST_MS = 1000
_BACKOFF_LAST_MS = 60000
_STABLE_MS = 60000  # a run this long starts the backoff afresh


class Supervisor:
    """Owns tasks by name; an exception never gets lost."""

    def __init__(self, log):
        self._log = log
        self._tasks = {}
        self._serial = 0

    def spawn(self, name: str, factory, restart: bool = False):
        """Run the coroutine that `factory()` gives; an exception is logged with its traceback.

        With `restart` it is started again after an exception, at first after 1 s, at last every 60 s. Gives the task.
        """
        self._serial += 1
        key = self._serial
        task = asyncio.create_task(self._watch(key, name, factory, restart))
        self._tasks[key] = (name, task)
        return task

    def names(self) -> list:
        """Sorted names of what runs."""
        return sorted([name for name, _ in self._tasks.values()])

    async def stop(self, prefix: str = "") -> None:
        """Cancel the tasks whose name begins with `prefix` (all by default), except the caller's, and wait until they ended."""
        mine = asyncio.current_task()
        for key, (name, task) in list(self._tasks.items()):
            if task is not mine and name.startswith(prefix):
                await cancel(task)
                self._tasks.pop(key, None)  # one that was cancelled before its first step never ran its `finally`

    async def _watch(self, key: int, name: str, factory, restart: bool) -> None:
        try:
            await self._run(name, factory, restart)
        finally:
            self._tasks.pop(key, None)

    async def _run(self, name: str, factory, restart: bool) -> None:
        backoff_ms = _BACKOFF_FIRST_MS
        while True:
            began = now_ms()
            try:
                await factory()
                return
            except Exception as error:
                self._log.exception(name, error)
            if not restart:
                return
            if now_ms() - began > _STABLE_MS:
                backoff_ms = _BACKOFF_FIRST_MS
            await sleep_ms(backoff_ms)
            backoff_ms = min(2 * backoff_ms, _BACKOFF_LAST_MS)


async def cancel(task) -> None:
    """Cancel a task and wait until it ended; its exception, if any, is dropped."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    except Exception:
        pass


class Closed(Exception):
    """The queue was closed and holds nothing more."""


class Queue:
    """At most `limit` items, first in first out, any number of tasks at either end."""

    def __init__(self, limit: int):
        self._limit = limit
        self._items = []
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item) -> None:
        """Append, waiting while the queue is full. Raises Closed."""
        while not self._closed and len(self._items) >= self._limit:
            await self._wait()
        if self._closed:
            raise Closed()
        self._items.append(item)
        self._changed.set()

    async def get(self):
        """Oldest item, waiting while there is none. Raises Closed once closed and empty."""
        while not self._items:
            if self._closed:
                raise Closed()
            await self._wait()
        item = self._items.pop(0)
        self._changed.set()
        return item

    def close(self) -> None:
        """No more puts; gets go on until it is empty."""
        self._closed = True
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
