"""The appliance's door over a real store in a folder, as a process of its own: `serve.py FOLDER [MIB]`. Started by tests/agent/rig.py.

Prints `port N` and then answers lines on stdin: `client NAME` with the pairing code, `client-again NAME` with another
one, `delete CLIENT VIEW`, `collect`, `fold CLIENT VIEW ...`, `set NAME VALUE`, `usage`, `quit`.
"""

import asyncio
import json
import sys
import time

from firmware.formats import catalog
from firmware.store.store import Store
from hal.linux.disk import FileDisk
from hal.linux.identity import make_identity
from hal.linux.libc import O_CREAT, O_RDWR, check, libc, open_file
from hal.linux.lmdb import Lmdb
from hal.loop import readable
from tests.lab.door import Door, format_store


async def _main(folder: str, size_mib: int) -> None:
    door = Door()
    path = folder + "/disk"
    descriptor = open_file(path, O_RDWR | O_CREAT)
    check(libc.ftruncate(descriptor, size_mib << 20), path)
    libc.close(descriptor)
    kv = Lmdb(folder + "/catalog", Store.TABLES, Store.DUPLICATES)
    await format_store(door, FileDisk(path, 0, size_mib << 20), kv)
    port = await door.listen(*make_identity("test"))
    print(f"port {port}")
    sys.stdout.flush() if hasattr(sys.stdout, "flush") else None
    while True:
        await readable(0, 1 << 30)
        words = sys.stdin.readline().split()
        if not words or words[0] == "quit":
            break
        print(await _answer(door, words))
        sys.stdout.flush() if hasattr(sys.stdout, "flush") else None
    await door.server.stop()
    await door.store.close()


async def _answer(door, words: list) -> str:
    if words[0] == "client":
        return door.pairing.new_code(await door.store.add_client(words[1]))
    if words[0] == "client-again":
        return door.pairing.new_code(door.store.client_by_name(words[1]))
    if words[0] == "delete":
        await door.store.delete_view(door.store.client_by_name(words[1]).id, int(words[2]))
        return "done"
    if words[0] == "collect":
        await door.store.collector.drain()
        return "done"
    if words[0] == "set":
        await door.config.set(words[1], words[2])
        return "done"
    if words[0] == "fold":
        client = door.store.client_by_name(words[1]).id
        await door.store.merger.fold(client, [int(word) for word in words[2:]], catalog.DAILY, time.time_ns(), 0)
        return "done"
    if words[0] == "log":
        return json.dumps(door.log.lines(100))
    return json.dumps(door.store.usage())


asyncio.run(_main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1024))
