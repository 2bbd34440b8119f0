"""hal.linux.aio: every caller gets the result of its own operation, however the tasks are woken."""

import asyncio

from hal.linux.aio import DATASYNC, READ, WRITE, AioQueue
from hal.linux.libc import O_CREAT, O_RDWR, libc, open_file
from hal.loop import sleep_ms
from hal.native import aligned

_TURNS = 300


async def test_results_are_not_mixed_up():
    path = "test-aio-%d" % libc.getpid()
    fd = open_file(path, O_RDWR | O_CREAT)
    libc.unlink(path)
    queue = AioQueue(4)
    wrong = []

    async def work(command: int, length: int, offset: int) -> None:
        buffer = aligned(length) if length else None
        for turn in range(_TURNS):
            result = await queue.transfer(command, fd, buffer, offset)
            if result != length:
                wrong.append((command, result, length))
            if turn % 3 == 0:
                await sleep_ms(0)

    await work(WRITE, 12288, 0)
    await asyncio.gather(
        work(READ, 4096, 0),
        work(DATASYNC, 0, 0),
        work(READ, 8192, 4096),
        work(DATASYNC, 0, 0),
        work(WRITE, 12288, 0),
        work(READ, 12288, 0),
    )
    await queue.close()
    libc.close(fd)
    assert not wrong, wrong[:5]
