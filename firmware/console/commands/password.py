"""password."""

from firmware.console import login
from firmware.console.registry import Command
from firmware.formats.refusal import Refusal

_ANSWER_MS = 60000


async def _password(session, values: dict) -> dict:
    config, machine = session.appliance.config, session.appliance.machine
    old = await session.ask("Old password: ", secret=True, timeout_ms=_ANSWER_MS)
    if not await session.admitted(login.USER, old):
        raise Refusal("AUTH", "the old password is wrong; nothing was changed")
    new = await session.ask("New password: ", secret=True, timeout_ms=_ANSWER_MS)
    complaint = login.complaint(new)
    if complaint:
        raise Refusal("LIMIT", "new password: %s; nothing was changed" % complaint)
    if await session.ask("Again: ", secret=True, timeout_ms=_ANSWER_MS) != new:
        raise Refusal("LIMIT", "the two passwords differ; nothing was changed")
    await config.set("console.password", login.make_hash(machine, new))
    session.appliance.log.info("console", "the password was changed")
    return {"text": "password changed"}


COMMANDS = (Command("password", (), "change the administrator's password", _password),)
