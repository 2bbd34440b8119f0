"""The agents' door alone, as a process to measure: `INTERPRETER tests/lab/door_process.py CERTIFICATE KEY [DISK CATALOG]` from the root.

Prints one JSON line: port and pairing code of the client "pc". Then answers each line on standard input with JSON: bytes of heap in
use after a collection, sessions, and so on. Ends with standard input. The store is on a simulated disk unless files are given.
"""

import asyncio
import gc
import json
import sys

sys.path.insert(0, "")

from firmware.store.store import Store  # noqa: E402
from hal.linux.disk import FileDisk  # noqa: E402
from hal.linux.lmdb import Lmdb  # noqa: E402
from hal.loop import readable  # noqa: E402
from tests.lab.door import Door, format_store, stored_door  # noqa: E402

_HEAP_KNOWN = hasattr(gc, "mem_alloc")


async def _door(files: list) -> Door:
    if not files:
        return await stored_door()
    door = Door()
    await format_store(door, FileDisk(files[0]), Lmdb(files[1], Store.TABLES, Store.DUPLICATES))
    return door


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _say(values: dict) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


async def main(certificate: str, key: str, *files) -> None:
    door = await _door(list(files))
    port = await door.listen(_read(certificate), _read(key))
    _say({"port": port, "code": door.pairing.new_code(await door.store.add_client("pc"))})
    while True:
        await readable(0)
        if not sys.stdin.readline():
            break
        gc.collect()
        _say(dict(door.server.status(), heap_bytes=gc.mem_alloc() if _HEAP_KNOWN else 0))
    await door.server.stop()
    await door.store.close()


asyncio.run(main(*sys.argv[1:]))
