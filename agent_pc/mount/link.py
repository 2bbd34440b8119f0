"""The connection under a mount: made anew after a cut, while those who need it wait. Used by agent_pc/mount/forest.py and contents."""

import threading
import time

from agent_pc.exits import AgentError, Cut

_PAUSE_S = 0.5


class Link:
    """`connect()` gives a Session. A request that was cut is asked again for `wait_s` seconds; then it fails with Cut."""

    def __init__(self, connect, wait_s: float):
        self._connect = connect
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._session = connect()
        self._closed = False

    def run(self, work):
        """`work(session)`, again after a cut. Raises Refusal, AgentError."""
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                session = self._open()
                try:
                    return work(session)
                except Cut:
                    self._drop(session)
                    raise
            except AgentError as error:
                if error.name != "UNREACHABLE" or self._closed or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)

    def _open(self):
        with self._lock:
            if self._session is None:
                self._session = self._connect()
            return self._session

    def _drop(self, session) -> None:
        with self._lock:
            if self._session is session:
                self._session = None
        session.close()

    def close(self) -> None:
        self._closed = True
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()
