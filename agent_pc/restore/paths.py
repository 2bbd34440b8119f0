"""Directories of the restore target by handle: nothing outside the target can be reached, whatever names and links say.

Every component is opened from its parent with O_NOFOLLOW. Used by agent_pc/restore.
"""

import fcntl
import os
from collections import OrderedDict

from agent_pc.exits import AgentError

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64


class Target:
    """`root`: the directory restored into; made if it does not exist. Paths are tuples of names (bytes) below it. One thread uses it."""

    def __init__(self, root: bytes):
        """Raises OSError."""
        os.makedirs(root, exist_ok=True)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict = OrderedDict()

    def twin(self) -> "Target":
        """The same directory for another thread."""
        return Target(b"/proc/self/fd/%d" % self._root)

    def handle(self, path: tuple) -> int:
        """Handle of a directory that exists; valid until the next call. Raises OSError."""
        if not path:
            return self._root
        held = self._open.get(path)
        if held is not None:
            self._open.move_to_end(path)
            return held
        known = len(path) - 1
        while known and path[:known] not in self._open:
            known -= 1
        handle = self._open[path[:known]] if known else self._root
        for depth in range(known, len(path)):
            handle = os.open(path[depth], _OPEN, dir_fd=handle)
            self._open[path[: depth + 1]] = handle
        while len(self._open) > max(_KEPT, len(path) + 1):
            _, old = self._open.popitem(last=False)
            os.close(old)
        return handle

    def make(self, path: tuple) -> bool:
        """A directory, for the owner only until its metadata comes; one that is there stays (False). Raises OSError."""
        parent = self.handle(path[:-1])
        try:
            os.mkdir(path[-1], 0o700, dir_fd=parent)
            return True
        except FileExistsError:
            self.handle(path)  # refuses anything but a directory
            return False

    def lock(self) -> None:
        """No other restore into this directory meanwhile. Raises AgentError(BUSY)."""
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentError("BUSY", "another restore into this directory is running; wait for its end") from None
        except OSError:
            pass  # a filesystem without locks

    def close(self) -> None:
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()
        os.close(self._root)
