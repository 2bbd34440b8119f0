"""The scan of a tree in which nothing changed: a million files, time and memory. Run by `build.py bench scan`.

A tree of small files, 20 in a directory, is made in a folder; a first scan fills a cache as a backup would; then a process of its own
scans again against that cache and finds everything unchanged.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

_ROOT = Path(__file__).resolve().parents[2]
FILES = 1000000
_IN_DIRECTORY = 20
_IN_PARENT = 250


def run(folder: str, files: int, rounds: int = 3) -> list:
    """Rows (what, figure, unit), medians of `rounds`."""
    place = Path(folder) / "bobbin-scan"
    shutil.rmtree(place, ignore_errors=True)
    try:
        began = time.monotonic()
        _make(place / "tree", files)
        rows = [("files made", time.monotonic() - began, "s")]
        first = _measured(place)
        assert first["new"] == files, first
        rows.append(("first scan, no contents", first["wall_s"], "s"))
        again = sorted((_measured(place) for _ in range(rounds)), key=lambda row: row["wall_s"])
        assert all(row["unchanged"] == files and row["nodes"] < 9 for row in again), again
        middle = again[len(again) // 2]
        rows.append(("unchanged scan, wall time", middle["wall_s"], "s"))
        rows.append(("unchanged scan, processor", middle["cpu_s"], "s"))
        rows.append(("unchanged scan, a file", middle["wall_s"] / files * 1e6, "us"))
        rows.append(("unchanged scan, memory at peak", middle["peak_kb"] / 1000, "MB"))
        return rows
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _make(tree: Path, files: int) -> None:
    for start in range(0, files, _IN_DIRECTORY):
        number = start // _IN_DIRECTORY
        directory = tree / str(number // _IN_PARENT) / ("directory %d" % number)
        directory.mkdir(parents=True)
        for at in range(start, min(start + _IN_DIRECTORY, files)):
            os.close(os.open("%s/file number %d.txt" % (directory, at), os.O_CREAT | os.O_WRONLY))
            os.truncate("%s/file number %d.txt" % (directory, at), at % 5000 + 1)


def _measured(place: Path) -> dict:
    words = [sys.executable, "-B", "-m", "tests.bench.scan", str(place)]
    return json.loads(subprocess.run(words, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _scan(place: str) -> dict:
    """One scan against the cache in `place`, which then holds its nodes."""
    from agent_pc.backup import normal_sources
    from agent_pc.cache import Cache, NodeSource
    from agent_pc.fdm import base, nodes
    from agent_pc.fdm.counts import Counts
    from agent_pc.fdm.known import Known
    from agent_pc.fdm.scan import Scan
    from agent_pc.fdm.task import Directory, Link, Task
    from agent_pc.service.policy import Policy
    from firmware.formats import dtf

    cache = Cache(place + "/cache.sqlite")
    source = normal_sources([place + "/tree"])
    root_path = Path(place) / "root"
    group, index = json.loads(root_path.read_text()) if root_path.exists() else (0, 0)
    views = [SimpleNamespace(view=1, root_group=group, root_index=index)] if group else []
    made = [0, 0]

    def emit(body: bytes) -> bytes:
        made[0] += 1
        cache.add_node((group + 1, made[0]), body)
        return nodes.REF.pack(dtf.NODE_REF, group + 1, made[0])

    def part(directory, body: bytes, parts: list) -> bytes:
        parts.append(directory.digests.get(hashlib.blake2b(body, digest_size=16).digest()) or emit(body))
        return parts[-1]

    def sink(event) -> None:
        if isinstance(event, Task):
            made[1] += 1
            event.finish((1, made[1]), event.status, event.status.st_size, 0, dtf.QUIESCED)
        elif isinstance(event, Directory):
            parts = []
            slots = event.finish(lambda body: part(event, body, parts))
            known.keep(event, slots, parts)
        else:
            assert not isinstance(event, Link)

    began = time.monotonic()
    tree = nodes.Tree(NodeSource(cache, None).fetch)
    bases = base.find(_Views(views), cache, tree, source)
    counts = Counts()
    known = Known(cache, ())
    scan = Scan(
        tree,
        sink,
        counts,
        lambda path, text: sys.exit("%s: %s" % (path, text)),
        exclusions=Policy({"default_exclude": True}, {}).exclusions(),
        known=known,
    )
    top = scan.run(source, bases)
    wall_s = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    root_path.write_text(json.dumps(nodes.REF.unpack(top.ref)[1:]))
    cache.commit(1, source)
    cache.close()
    figures = {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_kb": usage.ru_maxrss}
    return {**figures, "unchanged": counts.unchanged, "new": made[1], "nodes": made[0]}


class _Views:
    """As much of a Session as `base.find` asks."""

    def __init__(self, views: list):
        self._views = views

    def views(self) -> tuple:
        return "", self._views


if __name__ == "__main__":
    print(json.dumps(_scan(sys.argv[1])))
