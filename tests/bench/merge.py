"""What a merge costs: views of many files of which few change, for several sizes of both. Run by `build.py bench merge`.

Uses the store over simulated parts, so the figures that count are the nodes read and written; the time is this interpreter's. A merge
whose cost followed what exists would double its nodes with the files.
"""

import asyncio
import time

from firmware.formats import catalog as layout
from firmware.store.store import Store
from hal.linux.rwp import NativeProcessor
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from tests.fixtures import trees

# files in the tree, of these deleted and changed between the two views
CASES = ((2000, 0), (2000, 10), (2000, 100), (8000, 10), (8000, 100), (32000, 10), (32000, 100))
_IN_DIRECTORY = 50
_SEGMENT = 1 << 20
_NOW = 1 << 50
_PROCESSOR = NativeProcessor()


class _Clock:
    def now_ns(self) -> int:
        return _NOW


def _tree(files: int) -> dict:
    top: dict = {}
    for number in range(files):
        outer = top.setdefault(b"d%d" % (number // (_IN_DIRECTORY * _IN_DIRECTORY)), {})
        outer.setdefault(b"e%d" % (number // _IN_DIRECTORY % _IN_DIRECTORY), {})[b"f%05d" % number] = b"%d" % (number % 20)
    return top


def _change(tree: dict, files: int, changes: int) -> dict:
    """Every other one deleted, every other one changed, spread over the tree."""
    for step in range(changes):
        number = step * files // changes
        outer = tree[b"d%d" % (number // (_IN_DIRECTORY * _IN_DIRECTORY))]
        inner = outer[b"e%d" % (number // _IN_DIRECTORY % _IN_DIRECTORY)]
        if step % 2:
            inner[b"f%05d" % number] = b"changed"
        else:
            del inner[b"f%05d" % number]
    return tree


async def measure(files: int, changes: int) -> dict:
    """{"files", "changes", "nodes_read", "names", "bytes_written", "wall_s"} of one merge of two views."""
    disk = SimDisk(66 * _SEGMENT)
    kv = SimKv(SimKvStorage(), Store.TABLES, Store.DUPLICATES)
    await Store.format(disk, kv, _PROCESSOR, b"u" * 16, 1, _SEGMENT)
    store = await Store.open(disk, kv, _PROCESSOR, _Clock())
    client = await store.add_client("bench")
    agent = trees.TreeAgent(_PROCESSOR)
    numbers = [
        await agent.backup(await store.begin(client.id), tree, at + 1)
        for at, tree in enumerate((_tree(files), _change(_tree(files), files, changes)))
    ]
    before = disk.counts["write_bytes"]
    began = time.monotonic()
    done = await store.merger.fold(client.id, numbers, layout.DAILY, _NOW, 0)
    return {
        "files": files,
        "changes": changes,
        "nodes_read": done.nodes,
        "names": done.names,
        "bytes_written": disk.counts["write_bytes"] - before,
        "wall_s": time.monotonic() - began,
    }


def run() -> list:
    return [asyncio.run(measure(files, changes)) for files, changes in CASES]


def main() -> None:
    print("%8s %8s %12s %10s %14s %8s" % ("files", "changes", "nodes read", "names", "bytes written", "wall"))
    for row in run():
        print(
            "%8d %8d %12d %10d %14d %6.0f ms"
            % (row["files"], row["changes"], row["nodes_read"], row["names"], row["bytes_written"], 1000 * row["wall_s"])
        )
