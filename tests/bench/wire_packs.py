"""How fast packs come in over TLS, from the socket to the segments: `python3 -m tests.bench.wire_packs [MIB] [FOLDER]`.

Prints MB/s of items for packs that are raw and packs that are compressed, chunks of 8 KiB and of 128 KiB; by the clock and by the
processor time that the appliance used, which other load on the machine does not change much.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from firmware.formats import message, pack
from firmware.store.packs import table_of
from tests.lab.door_client import DoorProcess
from tests.lab.wire import Wire, processor

_PACK_BYTES = 1 << 20
_CASES = (
    ("raw, 8 KiB chunks", 8 << 10, False),
    ("raw, 128 KiB chunks", 128 << 10, False),
    ("zstd, 8 KiB chunks", 8 << 10, True),
)


def _content(compressible: bool) -> bytes:
    return (os.urandom(_PACK_BYTES // 2) + bytes(_PACK_BYTES // 2)) if compressible else os.urandom(_PACK_BYTES)


def _parts(chunk_bytes: int, compress: bool):
    """(table, payload, codec, count) of a pack, for any place."""
    raw = _content(compress)
    chunks = [raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes)]
    table = table_of(processor(), chunks)
    if not compress:
        return table, raw, pack.RAW, len(chunks)
    room = bytearray(_PACK_BYTES)
    return table, bytes(room[: processor().compress(raw, room)]), pack.ZSTD, len(chunks)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; proc_pid_stat(5), fields 14 and 15."""
    fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(door, wire: Wire, packs: int, chunk_bytes: int, compress: bool) -> tuple:
    """MB/s of decoded data by the clock, and by the processor time of the appliance."""
    grant = wire.ask("BEGIN", 1, 1, expect="GRANT")
    table, payload, codec, count = _parts(chunk_bytes, compress)
    began, began_cpu = time.monotonic(), _cpu_seconds(door.pid)
    for number in range(packs):
        head = pack.HEADER.pack(
            pack.DATA, codec, count, grant.group, grant.next_data + number * count, _PACK_BYTES, len(payload)
        )
        wire.send_body(message.PACK, head + table + payload)
    wire.ask("SYNC", expect="SYNCED")
    seconds, cpu = time.monotonic() - began, _cpu_seconds(door.pid) - began_cpu
    wire.ask("ABANDON", expect="ABANDONED")
    return packs * _PACK_BYTES / seconds / 1e6, packs * _PACK_BYTES / cpu / 1e6


def main(mib: int, folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        disk, catalog = Path(name) / "disk", Path(name) / "catalog"
        with open(disk, "wb") as file:
            file.truncate((4 * mib + 512) << 20)
        with DoorProcess(Path(name), files=(disk, catalog)) as door, Wire(door.address) as wire:
            wire.hello()
            wire.auth(*wire.pair(door.code))
            for label, chunk_bytes, compress in _CASES:
                rates = _send(door, wire, mib, chunk_bytes, compress)
                print("%-24s %6.0f MB/s   %6.0f MB/s of processor time" % ((label,) + rates))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512, sys.argv[2] if len(sys.argv) > 2 else ".")
