"""Figures of the native layer, on either interpreter: `python3 tests/bench/native.py` or the same with MicroPython
(-X heapsize=256m), from the repository's root. Writes and removes a 256 MiB file in /var/tmp."""

import asyncio
import os
import sys
import time

sys.path.insert(0, "")

from hal.linux.disk import FileDisk  # noqa: E402
from hal.linux.libc import O_CREAT, O_RDWR, libc, open_file  # noqa: E402
from hal.linux.lmdb import Lmdb  # noqa: E402
from hal.linux.rwp import NativeProcessor  # noqa: E402
from hal.native import aligned  # noqa: E402

_MIB = 1 << 20
_DISK_MIB = 256
_DEPTH = 8
_KEYS = 20000


def _each(name: str, count: int, call) -> None:
    """Print microseconds per call."""
    began = time.time_ns()
    for turn in range(count):
        call(turn)
    print("%-32s %9.2f us" % (name, (time.time_ns() - began) / count / 1000))


def processor() -> None:
    """Per MiB."""
    unit = NativeProcessor()
    block, packed, back = aligned(_MIB), aligned(2 * _MIB), aligned(_MIB)
    block[: _MIB // 2] = os.urandom(_MIB // 2)
    length = unit.compress(block, packed)
    parity = [bytearray(_MIB) for _ in range(8)]
    encoder = unit.rs_encoder(80, 8)
    _each("crc32c, 1 MiB", 100, lambda turn: unit.crc32c(block))
    _each("blake2b, 1 MiB", 50, lambda turn: unit.blake2b(block))
    _each("zstd 1 compress, 1 MiB", 50, lambda turn: unit.compress(block, packed))
    _each("zstd decompress, 1 MiB", 50, lambda turn: unit.decompress(packed[:length], back))
    _each("Reed-Solomon 80+8 update, 1 MiB", 50, lambda turn: encoder.update(turn, block, parity))


def database(path: str) -> None:
    kv = Lmdb(path, ("table",))
    keys = [b"%08d" % (turn * 7919 % _KEYS) for turn in range(_KEYS)]
    txn = kv.begin(write=True)
    _each("lmdb put", _KEYS, lambda turn: txn.put("table", keys[turn], b"0123456789abcdef"))
    txn.commit()
    txn = kv.begin()
    _each("lmdb get", _KEYS, lambda turn: txn.get("table", keys[turn]))
    scan = txn.scan("table")
    _each("lmdb scan, per entry", _KEYS, lambda turn: next(scan))
    kv.close()


async def disk(path: str) -> None:
    fd = open_file(path, O_RDWR | O_CREAT)
    libc.ftruncate(fd, _DISK_MIB * _MIB)
    libc.close(fd)
    opened = FileDisk(path)
    buffers = [aligned(_MIB) for _ in range(_DEPTH)]

    async def work(lane: int, move) -> None:
        for at in range(lane, _DISK_MIB, _DEPTH):
            await move(at * _MIB, buffers[lane])

    for name, move in (("first write", opened.write), ("write", opened.write), ("read", opened.read)):
        began = time.time_ns()
        await asyncio.gather(*[work(lane, move) for lane in range(_DEPTH)])
        await opened.flush()
        print("%-32s %9.0f MB/s" % (name + ", 8 x 1 MiB", _DISK_MIB * _MIB * 1000 / (time.time_ns() - began)))
    await opened.close()
    libc.unlink(path)


if __name__ == "__main__":
    here = "/var/tmp/bobbin-bench-%d" % libc.getpid()
    processor()
    database(here)
    for name in os.listdir(here):
        os.remove(here + "/" + name)
    os.rmdir(here)
    asyncio.run(disk(here))
