"""A few threads that work ahead, made when there is work. What concurrent.futures does, which takes longer to load than a small restore takes.

Used by session (decoding), backup (reading), bdm.contents (hashing), dtm.sender (compressing).
"""

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue


class Cancelled(Exception):
    """The pool was stopped before the work began."""


class Future:
    """What one piece of work will give."""

    __slots__ = ("_arguments", "_done", "_error", "_value", "_work")

    def __init__(self, work: Callable, arguments: tuple):
        self._work: Callable | None = work
        self._arguments = arguments
        self._done = threading.Lock()
        self._done.acquire()
        self._value = None
        self._error: BaseException | None = None

    def run(self, cancelled: bool = False) -> None:
        """By a thread of the pool, once."""
        try:
            if cancelled:
                raise Cancelled
            self._value = self._work(*self._arguments) if self._work is not None else None
        except BaseException as error:  # noqa: BLE001  whoever asks for the result hears of it
            self._error = error
        self._work, self._arguments = None, ()
        self._done.release()

    def result(self):
        """Waits; raises what the work raised."""
        with self._done:
            if self._error is not None:
                raise self._error
            return self._value


class Pool:
    """`threads` at most; they are daemons, called `name`-0 and so on. Context: stopped at the end, when no work is under way any more."""

    def __init__(self, threads: int, name: str):
        self._most = threads
        self._name = name
        self._lock = threading.Lock()
        self._waiting: SimpleQueue = SimpleQueue()
        self._idle = 0
        self._threads: list = []
        self._stopped = False

    def submit(self, work: Callable, *arguments) -> Future:
        """Begin `work(*arguments)` as soon as a thread is free."""
        future = Future(work, arguments)
        with self._lock:
            if self._stopped:
                raise RuntimeError(f"pool {self._name}: is stopped")
            self._waiting.put(future)
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._most:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def map(self, work: Callable, *rows: Iterable) -> Iterable:
        """Results in order; all the work is begun at once."""
        futures = [self.submit(work, *arguments) for arguments in zip(*rows, strict=False)]
        return (future.result() for future in futures)

    def stop(self) -> None:
        """Work that has not begun is cancelled; what has goes on to its end, and nobody waits for it."""
        with self._lock:
            self._stopped = True
        while not self._waiting.empty():
            future = self._waiting.get()
            if future is not None:
                future.run(cancelled=True)
        for _ in self._threads:
            self._waiting.put(None)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (future := self._waiting.get()) is not None:
            future.run()
            del future  # what it holds is not held until there is more work
            with self._lock:
                self._idle += self._waiting.empty()
