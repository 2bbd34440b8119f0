"""The command `mount`. A row of the table in agent_pc/cli.py.

In the background it is a process of its own that writes one line into a pipe: "ready", or why it could not.
"""

import json
import os
import sys
import threading
import time

from agent_pc import state as states
from agent_pc import terminal
from agent_pc.exits import STATUS, AgentError
from agent_pc.mount.contents import Bodies
from agent_pc.mount.forest import Forest
from agent_pc.mount.link import Link
from agent_pc.session import Session
from agent_pc.views import sizes

_LOG = "mount.log"
_LOG_BYTES = 1 << 20
_CACHE_BYTES = 64 << 20


def _mount(arguments) -> tuple:
    place = os.path.abspath(arguments.directory)
    held = states.load(arguments.state)
    _usable(place)
    if arguments.foreground:
        _serve(held, place, arguments, lambda: None)
        return 0, {"directory": place}, []
    _in_background(lambda ready: _serve(held, place, arguments, ready))
    document = {"directory": place, "log": os.path.join(held.directory, _LOG)}
    return 0, document, [f"views are in {place}; fusermount3 -u {place} ends it; log: {document['log']}"]


def _usable(place: str) -> None:
    if not os.path.exists("/dev/fuse"):
        raise AgentError("MOUNT", "/dev/fuse is missing: load the kernel module `fuse`")
    if not os.path.isdir(place):
        raise AgentError("MOUNT", f"{terminal.path_text(os.fsencode(place))}: expected a directory to mount the views at")
    if os.path.ismount(place):
        raise AgentError("MOUNT", f"{terminal.path_text(os.fsencode(place))}: something is mounted there already")


def _serve(held, place: str, arguments, ready) -> None:
    """Mount, and stay until it is unmounted. Raises AgentError, Refusal."""
    try:
        from agent_pc.mount.filesystem import Filesystem, Mount
    except (ImportError, OSError, AttributeError) as error:
        raise AgentError("MOUNT", f"libfuse cannot be loaded: {error}; install fuse3") from None
    log = _Log(None if arguments.foreground else os.path.join(held.directory, _LOG))
    link = Link(lambda: Session.open(held), arguments.wait)
    forest = Forest(link, log)
    bodies = Bodies(link, forest, arguments.cache)
    options = {"allow_other": True, "default_permissions": True} if arguments.allow_other else {}
    try:
        forest.views()
        Mount(Filesystem(forest, bodies, log, ready), place, options)
    except RuntimeError as error:
        raise AgentError("MOUNT", f"{place}: fuse refused the mount (status {error}); its reason is above") from None
    finally:
        bodies.close()
        link.close()


class _Log:
    """One line each on stderr, or in a file that begins anew when it is full."""

    def __init__(self, path: str | None):
        self._path = path
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {terminal.safe(text)}\n"
        with self._lock:
            if self._path is None:
                sys.stderr.write(line)
                return
            full = os.path.exists(self._path) and os.path.getsize(self._path) > _LOG_BYTES
            with open(self._path, "w" if full else "a") as file:
                file.write(line)


def _in_background(work) -> None:
    """Run `work(ready)` in a process of its own; back when it is ready. Raises AgentError with what it failed for."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        os._exit(_child(work, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.readline()
    row = json.loads(told) if told else {"name": "MOUNT", "text": "the mount process ended without a word"}
    if row:
        raise AgentError(row["name"], row["text"])


def _child(work, pipe: int) -> int:
    """Status. What comes before "ready" is told to the parent."""
    told = threading.Event()

    def tell(row: dict) -> None:
        if not told.is_set():
            told.set()
            os.write(pipe, json.dumps(row).encode() + b"\n")
            os.close(pipe)

    def ready() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        tell({})

    os.setsid()
    try:
        work(ready)
        return 0
    except Exception as error:  # noqa: BLE001  the parent tells it
        name = getattr(error, "name", None)
        tell({"name": name if name in STATUS else "MOUNT", "text": str(error)})
        return 1


VERBS = (
    (
        "mount",
        _mount,
        "show all views as a read-only filesystem: DIR/2026-11-03_14-00-05/..., DIR/latest; needs FUSE; JSON: directory, log",
        (
            ("directory", {"metavar": "DIR", "help": "an existing directory; fusermount3 -u DIR ends the mount"}),
            ("--foreground", {"action": "store_true", "help": "stay in this terminal; Ctrl-C ends it; log on stderr"}),
            ("--allow-other", {"action": "store_true", "help": "other users, too; each sees what file modes allow"}),
            (
                "--cache",
                {
                    "type": sizes.argument,
                    "default": _CACHE_BYTES,
                    "metavar": "SIZE",
                    "help": "memory for contents (default: 64M)",
                },
            ),
            (
                "--wait",
                {
                    "type": float,
                    "default": 30,
                    "metavar": "S",
                    "help": "seconds to wait for the appliance to return (default: 30)",
                },
            ),
        ),
    ),
)
