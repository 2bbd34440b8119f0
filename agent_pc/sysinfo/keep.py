"""Keeps what collect.py finds as a file that every view carries as /.bobbin/system.json, once a day or when it changed. Called by service.job."""

import hashlib
import json
import os
import time

from agent_pc.sysinfo import table
from agent_pc.sysinfo.place import FILE, NAME

_FOLDER = "recovery"
_KEY = "recovery.json"  # beside the folder: what it was collected from
_AGAIN_S = 86400


def _key() -> str:
    """Changes when it is worth collecting again."""
    digest = hashlib.blake2b(str([row[:2] for row in table.ROWS]).encode(), digest_size=16)
    for path in table.WATCHED:
        digest.update(_contents(path))
    for path in table.TOUCHED:
        try:
            digest.update(b"%d" % os.stat(path).st_mtime_ns)
        except OSError:
            digest.update(b"-")
    return digest.hexdigest()


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def refresh(directory: str) -> list:
    """Bring the file in the state `directory` up to date: [(NAME, path of its folder)] for fdm.scan, [] if that cannot be."""
    folder = os.path.join(directory, _FOLDER)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not _young(directory, folder):
            from agent_pc.sysinfo import collect  # only now: it takes time to load

            key = _key()
            _replace(os.path.join(folder, FILE), json.dumps(collect.collect(), indent=1) + "\n")
            _replace(os.path.join(directory, _KEY), json.dumps({"key": key, "time_s": time.time()}))
    except OSError:
        return []
    return [(NAME, os.fsencode(folder))]


def _young(directory: str, folder: str) -> bool:
    try:
        with open(os.path.join(directory, _KEY)) as file:
            kept = json.load(file)
        fresh = 0 <= time.time() - kept["time_s"] < _AGAIN_S
        return fresh and kept["key"] == _key() and os.path.exists(os.path.join(folder, FILE))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _replace(path: str, text: str) -> None:
    """Write the file unless it says so already: what is the same keeps its times, and costs the next backup nothing."""
    try:
        with open(path) as file:
            if file.read() == text:
                return
    except (OSError, ValueError):
        pass
    temporary = path + ".new"
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, path)
