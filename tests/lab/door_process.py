"""The agents' door alone, as a process to measure: `INTERPRETER tests/lab/door_process.py CERTIFICATE KEY [DISK CATALOG]` from the root.

Prints one JSON line: port and pairing code of the client "pc". Then answers each line on standard input with a line of JSON, see
_VERBS; an empty line asks for the status. Ends with standard input. The store is on a simulated disk unless files are given.
"""

import asyncio
import gc
import json
import os
import sys

sys.path.insert(0, "")

from firmware.formats import catalog  # noqa: E402
from firmware.main import _GARBAGE_BYTES  # noqa: E402
from firmware.store.store import Store  # noqa: E402
from hal.linux.disk import FileDisk  # noqa: E402
from hal.linux.lmdb import Lmdb  # noqa: E402
from hal.linux.machine import allow_descriptors  # noqa: E402
from hal.loop import readable  # noqa: E402
from tests.fixtures.audit import audit  # noqa: E402
from tests.lab.door import Door, format_store, stored_door  # noqa: E402

_HEAP_KNOWN = hasattr(gc, "mem_alloc")
_NEWS = []
_NEWS_LINES = 2000


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


async def _status(door) -> dict:
    """Sessions and so on; bytes of heap in use after a collection."""
    gc.collect()
    return dict(door.server.status(), heap_bytes=gc.mem_alloc() if _HEAP_KNOWN else 0)


async def _client(door, name: str) -> dict:
    """A new client's number and pairing code."""
    client = await door.store.add_client(name)
    return {"id": client.id, "code": door.pairing.new_code(client)}


async def _crowd(door, count: str) -> dict:
    """So many clients with the tokens that they have proved to hold: [[uuid, token]] in hex."""
    identities = []
    for number in range(int(count)):
        client = await door.store.add_client("crowd%d" % number)
        token = os.urandom(32)
        await door.store.set_token(client.id, door.machine.processor.blake2b(token))
        identities.append([client.uuid.hex(), token.hex()])
    return {"identities": identities}


async def _audit(door) -> dict:
    """What does not agree in the store, "" if all does; rows in each table of the catalog."""
    await door.store.collector.drain()
    fault = ""
    try:
        await audit(door.store)
    except AssertionError as error:
        fault = str(error) or "an assertion"
    txn = door.store.kv.begin()
    rows = {table: sum([1 for _ in txn.scan(table)]) for table in catalog.TABLES}
    txn.abort()
    return {"fault": fault, "rows": rows}


async def _usage(door) -> dict:
    return door.store.usage()


async def _log(door) -> dict:
    return {"lines": door.log.lines(500)}


async def _news(door) -> dict:
    """Lines of the log since the last time."""
    lines, _NEWS[:] = list(_NEWS), []
    return {"lines": lines}


async def _delete(door, client: str, view: str) -> dict:
    await door.store.delete_view(int(client), int(view))
    return {}


_VERBS = {
    "status": _status,
    "client": _client,
    "crowd": _crowd,
    "audit": _audit,
    "usage": _usage,
    "log": _log,
    "news": _news,
    "delete": _delete,
}


async def main(certificate: str, key: str, *files) -> None:
    if _HEAP_KNOWN:
        gc.threshold(_GARBAGE_BYTES)
    allow_descriptors()
    door = await _door(list(files))
    door.log.add_sink(lambda level, line: len(_NEWS) < _NEWS_LINES and _NEWS.append(line))
    port = await door.listen(_read(certificate), _read(key))
    _say({"port": port, "code": door.pairing.new_code(await door.store.add_client("pc"))})
    collector = asyncio.create_task(door.store.collector.run())
    while True:
        await readable(0)
        line = sys.stdin.readline()
        if not line:
            break
        words = line.split() or ["status"]
        _say(await _VERBS[words[0]](door, *words[1:]))
    collector.cancel()
    await door.server.stop()
    await door.store.close()


asyncio.run(main(*sys.argv[1:]))
