"""Throughput of a tape drive behind libiscsi, and how long a command keeps the event loop: `micropython tests/bench/tape_transport.py URL [MIB]`.

The cartridge in the drive is overwritten. Runs under both interpreters.
"""

import asyncio
import sys

sys.path.insert(0, "")

from hal import loop  # noqa: E402
from hal.linux.iscsi import IscsiTransport  # noqa: E402
from hal.native import aligned  # noqa: E402
from hal.ssc.drive import SscTape  # noqa: E402

BLOCK = 256 * 1024


class Gaps:
    """A task that wants the loop all the time: `worst_ms` is the longest it had to wait for it."""

    def __init__(self):
        self.worst_ms = self.turns = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        before = loop.now_ms()
        while True:
            await loop.sleep_ms(0)
            now = loop.now_ms()
            self.worst_ms = max(self.worst_ms, now - before)
            self.turns += 1
            before = now

    def stop(self) -> None:
        self._task.cancel()


async def _timed(name: str, mib: int, work, watched: bool) -> None:
    gaps = Gaps() if watched else None
    start = loop.now_ms()
    await work()
    took_ms = max(1, loop.now_ms() - start)
    line = "%-8s %6.0f MB/s" % (name, mib * 1048.576 / took_ms)
    if gaps:
        gaps.stop()
        line += "   longest turn of the loop %d ms in %d turns" % (gaps.worst_ms, gaps.turns)
    print(line)


async def main(url: str, mib: int) -> None:
    tape = SscTape(IscsiTransport(url))
    await tape.load()
    buffer = aligned(BLOCK)
    count = mib * (1 << 20) // BLOCK

    async def write() -> None:
        await tape.rewind()
        for _ in range(count):
            await tape.write(buffer)
        await tape.write_filemarks(1)

    async def read() -> None:
        await tape.rewind()
        for _ in range(count):
            await tape.read(buffer)

    for watched in (False, True):
        await _timed("write", mib, write, watched)
        await _timed("read", mib, read, watched)
    await tape.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 256))
