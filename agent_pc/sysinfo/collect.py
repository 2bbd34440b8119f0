"""Collects the table. Called by keep.py when it is time, and by `bobbin sysinfo --now`.

Nothing here can fail a backup: what is missing, late or refused is noted in its place.
"""

import glob
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent_pc.sysinfo import debian, table

_TIMEOUT_S = 20
_AT_ONCE = 4  # programs: most of them wait for a disk
_BYTES = 4 << 20  # of one row
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION = 1


def collect() -> dict:
    """{"version", "parts": [{"name", "from", "text" or "missing"}]}."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sysinfo") as pool:
        rows = list(pool.map(lambda row: _KINDS[row[1]](row[0], row[2]), table.ROWS))
    return {"version": _VERSION, "parts": [part for parts in rows for part in parts]}


def _part(name: str, source: str, text: str | None, missing: str = "") -> dict:
    return {"name": name, "from": source, **({"missing": missing} if text is None else {"text": text})}


def _file(name: str, paths) -> list:
    found = [path for path in paths if os.path.exists(path)]
    return [_read(name, found[0])] if found else [_part(name, paths[0], None, "no such file")]


def _files(name: str, pattern: str) -> list:
    return [_read(name, path) for path in sorted(glob.glob(pattern)) if os.path.isfile(path)]


def _read(name: str, path: str) -> dict:
    try:
        with open(path, "rb") as file:
            return _part(name, path, _text(file.read(_BYTES + 1)))
    except OSError as error:
        return _part(name, path, None, error.strerror or str(error))


def _text(raw: bytes) -> str:
    cut = "" if len(raw) <= _BYTES else f"\n(cut after {_BYTES} bytes)\n"
    return raw[:_BYTES].decode("utf-8", "backslashreplace") + cut


def _exists(name: str, path: str) -> list:
    return [_part(name, path, "yes" if os.path.exists(path) else "no")]


def _command(name: str, words) -> list:
    return [_run(name, list(words))]


def _first(name: str, commands) -> list:
    there = [words for words in commands if shutil.which(words[0], path=_PATH)]
    return [_run(name, list((there or commands)[0]))]


def _debian(name: str, what) -> list:
    function, *commands = what
    if not os.path.exists(debian.STATUS):
        return _first(name, commands)
    try:
        return [_part(name, debian.STATUS, function())]
    except OSError as error:
        return [_part(name, debian.STATUS, None, error.strerror or str(error))]


def _disks(name: str, words) -> list:
    """Of each disk that is a device of this PC: no loop, RAM or mapped one."""
    disks = sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob("/sys/block/*/device"))
    return [_run(name, [word.format(disk="/dev/" + disk.replace("!", "/")) for word in words]) for disk in disks]


def _run(name: str, words: list) -> dict:
    source = " ".join(words)
    program = shutil.which(words[0], path=_PATH)
    if program is None:
        return _part(name, source, None, "not installed")
    environment = {"PATH": _PATH, "LC_ALL": "C", "HOME": "/"}
    try:
        with tempfile.TemporaryFile() as out:
            done = subprocess.run(
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                env=environment,
            )
            out.seek(0)
            text = _text(out.read(_BYTES + 1))
    except subprocess.TimeoutExpired:
        return _part(name, source, None, f"no end after {_TIMEOUT_S} s")
    except OSError as error:
        return _part(name, source, None, error.strerror or str(error))
    if done.returncode and not text.strip():
        return _part(name, source, None, f"exit status {done.returncode}")
    return _part(name, source, text)


_KINDS: dict[str, Callable[[str, Any], list]] = {
    table.FILE: _file,
    table.FILES: _files,
    table.COMMAND: _command,
    table.FIRST: _first,
    table.DEBIAN: _debian,
    table.DISKS: _disks,
    table.EXISTS: _exists,
}
