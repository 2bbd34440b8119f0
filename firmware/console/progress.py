"""Runs a long job as a task of its own and shows its progress on the console that started it. ^C leaves the job running."""

import asyncio

from firmware.console import text
from firmware.formats.refusal import Refusal
from hal.errors import HalError
from hal.loop import now_ms

_EVERY_MS = 500
_WIDTH = 78

DETACHED = object()


class _Outcome:
    """What the job came to, for the console that still watches."""

    def __init__(self):
        self.done = asyncio.Event()
        self.value = None
        self.error = None
        self.detached = False


async def _run(outcome: _Outcome, job) -> None:
    try:
        outcome.value = await job()
    except Exception as error:
        outcome.error = error
        if outcome.detached and not isinstance(error, (HalError, Refusal)):
            raise  # to the supervisor's log: nobody else will see it
    finally:
        outcome.done.set()


async def watch(session, name: str, job, look):
    """The result of the coroutine `job()`, or its exception. DETACHED if the person typed ^C; the job then goes on, and whoever
    runs it has to log how it ends.

    `look()` gives what to show meanwhile: an object with name, done_bytes, total_bytes and text, or None.
    """
    outcome = _Outcome()
    session.appliance.supervisor.spawn("job " + name, lambda: _run(outcome, job))
    began, shown = now_ms(), 0
    # A short job needs no progress line, and its task has not run yet.
    while not outcome.done.is_set():
        if await session.interrupted(_EVERY_MS if shown or now_ms() - began > _EVERY_MS else 20):
            if shown:
                await session.write("\n")
            outcome.detached = True
            return DETACHED
        if not session.wants_json and now_ms() - began > _EVERY_MS and not outcome.done.is_set():
            line = text.cut(_line(name, look(), now_ms() - began), _WIDTH)
            await session.write("\r" + line + " " * max(0, shown - len(line)))
            shown = len(line)
    if shown:
        await session.write("\r" + " " * shown + "\r")
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def _line(name: str, job, elapsed_ms: int) -> str:
    if job is None:
        return "%s: %s" % (name, text.duration(elapsed_ms // 1000))
    parts = [name + ":"]
    if job.total_bytes:
        parts.append("%d%%" % min(100, 100 * job.done_bytes // job.total_bytes))
    if job.done_bytes:
        parts.append(text.size(job.done_bytes))
    if job.done_bytes and job.total_bytes:
        parts.append("of " + text.size(job.total_bytes))
    if job.done_bytes:
        parts.append(text.size(1000 * job.done_bytes // max(1, elapsed_ms)) + "/s")
    return " ".join(parts + [job.text])
