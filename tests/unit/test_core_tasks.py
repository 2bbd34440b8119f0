"""firmware.core.tasks: no exception is lost, everything can be stopped, queues are bounded."""

import asyncio

from firmware.core import tasks
from firmware.core.log import Log
from firmware.core.tasks import Closed, Queue, Supervisor
from hal.loop import sleep_ms
from tests.lab.sim_machine import SimClock


def _supervisor():
    log = Log(SimClock())
    return Supervisor(log), log


async def _fail():
    raise ValueError("broken part")


async def test_exception_is_logged_with_its_traceback():
    supervisor, log = _supervisor()
    crashes = []
    log.add_crash_sink(crashes.append)
    supervisor.spawn("part", _fail)
    await sleep_ms(10)
    assert "broken part" in "\n".join(log.lines(50)) and "_fail" in crashes[0]
    assert supervisor.names() == []


async def test_restart_after_backoff():
    supervisor, _ = _supervisor()
    runs = []

    async def part():
        runs.append(1)
        if len(runs) < 3:
            raise ValueError()
        await sleep_ms(60000)

    first, tasks._BACKOFF_FIRST_MS = tasks._BACKOFF_FIRST_MS, 5
    supervisor.spawn("part", part, restart=True)
    await sleep_ms(100)
    tasks._BACKOFF_FIRST_MS = first
    assert len(runs) == 3 and supervisor.names() == ["part"]
    await supervisor.stop()
    assert supervisor.names() == []


async def test_stop_cancels_by_prefix_and_spares_the_caller():
    supervisor, _ = _supervisor()
    stopped = []

    async def part(name):
        try:
            await sleep_ms(60000)
        finally:
            stopped.append(name)

    async def caller():
        await supervisor.stop("a")
        stopped.append("caller")

    for name in ("a1", "a2", "b1"):
        supervisor.spawn(name, lambda n=name: part(n))
    await sleep_ms(5)
    await supervisor.spawn("a caller", caller)
    assert sorted(stopped) == ["a1", "a2", "caller"] and supervisor.names() == ["b1"]
    await supervisor.stop()


async def test_queue_bounds_the_writer_and_keeps_the_order():
    queue, most, got = Queue(3), [0], []

    async def write():
        for number in range(20):
            await queue.put(number)
            most[0] = max(most[0], len(queue))
        queue.close()

    writer = asyncio.create_task(write())
    try:
        while True:
            got.append(await queue.get())
            await sleep_ms(1)
    except Closed:
        pass
    await writer
    assert got == list(range(20)) and most[0] == 3


async def test_closed_queue_refuses_and_drains():
    queue = Queue(2)
    await queue.put("last")
    queue.close()
    try:
        await queue.put("more")
        assert False, "expected Closed"
    except Closed:
        pass
    assert await queue.get() == "last"
