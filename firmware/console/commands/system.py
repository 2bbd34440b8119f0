"""help, exit, reboot, shutdown."""

from firmware.console.registry import ANY, Arg, Command, Word
from firmware.core.settings import Choice

_NOW = Arg("now", Choice("now"), "do not ask", optional=True)


async def _help(session, values: dict) -> dict:
    words = (values["command"] or "").split()
    rows = [(command.usage(), command.help) for command in session.registry.commands]
    return {"lines": session.registry.help(words), "commands": [list(row) for row in rows] if not words else []}


def _show_help(data: dict) -> list:
    tail = ["", "`help COMMAND` explains one, ? lists what may come next, TAB completes, --json answers in JSON"]
    return data["lines"] + (tail if data["commands"] else [])


async def _exit(session, values: dict):
    return None


async def _stop(session, values: dict, reboot: bool) -> dict:
    what = "Reboot" if reboot else "Shut down"
    busy = session.appliance.busy_with()
    if not values["now"]:
        await session.confirm("%s the appliance%s?" % (what, " although " + busy if busy else ""))
    session.appliance.request_stop(reboot)
    return {"text": "the appliance is going down"}


async def _reboot(session, values: dict) -> dict:
    return await _stop(session, values, True)


async def _shutdown(session, values: dict) -> dict:
    return await _stop(session, values, False)


COMMANDS = (
    Command(
        "help",
        (Arg("COMMAND", Word(80), "a command or its beginning", True, True),),
        "explain the commands",
        _help,
        _show_help,
        ANY,
    ),
    Command("exit", (), "log out", _exit, role=ANY),
    Command("reboot", (_NOW,), "finish running jobs and start again", _reboot),
    Command("shutdown", (_NOW,), "finish running jobs and switch off", _shutdown),
)
