"""Bounded queues between the threads of one backup, which all stop together. Made by agent_pc/backup.py and restore."""

import threading
from collections import deque


class Stopped(Exception):
    """The line was stopped: the thread that gets this just ends."""


class Line:
    """`error` is why the line stopped, None while it runs or if it was only told to stop."""

    def __init__(self):
        self._pipes: list = []
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        self.error: BaseException | None = None

    def stop(self, error: BaseException | None = None) -> None:
        """Wake everyone with Stopped; the first error is kept."""
        with self._lock:
            if not self.stopped.is_set():
                self.error = error
            self.stopped.set()
            pipes = list(self._pipes)
        for pipe in pipes:
            pipe.wake()

    def pipe(self, limit: int) -> "Pipe":
        made = Pipe(self, limit)
        with self._lock:
            self._pipes.append(made)
        return made

    def drop(self, pipe: "Pipe") -> None:
        """The pipe is used up."""
        with self._lock:
            self._pipes.remove(pipe)

    def thread(self, name: str, work) -> threading.Thread:
        """Run `work()`; an exception stops the line."""

        def run():
            try:
                work()
            except Stopped:
                pass
            except BaseException as error:  # noqa: BLE001  the other threads wait for this one
                self.stop(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def join(self, thread: threading.Thread) -> None:
        """Wait for a thread; raises what stopped the line. Ctrl-C gets through."""
        while thread.is_alive():
            thread.join(0.2)
        self.check()

    def check(self) -> None:
        if self.stopped.is_set():
            raise self.error or Stopped()


class Pipe:
    """One thread puts, one gets; both wait."""

    def __init__(self, line: Line, limit: int):
        self._line = line
        self._limit = limit
        self._rows: deque = deque()
        self._changed = threading.Condition()

    def put(self, row, idle=None) -> None:
        """`idle()` is called every second that there is no room."""
        with self._changed:
            while len(self._rows) >= self._limit:
                self._running()
                if not self._changed.wait(1) and idle is not None:
                    idle()
            self._running()
            self._rows.append(row)
            self._changed.notify_all()

    def get(self, idle=None):
        """The next row. `idle()` is called every second that none comes."""
        with self._changed:
            while not self._rows:
                self._running()
                if not self._changed.wait(1) and idle is not None:
                    idle()
            row = self._rows.popleft()
            self._changed.notify_all()
            return row

    def empty(self) -> bool:
        """Whether `get` would wait. For the thread that gets."""
        return not self._rows

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _running(self) -> None:
        if self._line.stopped.is_set():
            raise Stopped
