"""disk format."""

from firmware.console import text
from firmware.console.registry import Command
from firmware.console.session import Cancelled
from firmware.formats.refusal import Refusal
from hal import machine

WORD = "ERASE"

_HOLDS = {
    machine.BLANK: "It is blank.",
    machine.FOREIGN: "It holds data that is NOT Bobbin's: all of it will be lost.",
    machine.OURS: "It holds the backups of a Bobbin appliance: all of them will be lost.",
}


async def _format(session, values: dict) -> dict:
    appliance = session.appliance
    holds = await appliance.machine.probe_volume()
    if holds == machine.NONE:
        raise Refusal("NO_DISK", "there is no data disk: connect one and reboot")
    busy = appliance.busy_with()
    if busy:
        raise Refusal("BUSY", "%s: wait until it is done" % busy)
    disk = await appliance.machine.disk_identity()
    name = "%s, serial %s, %s" % (disk["model"] or "unknown model", disk["serial"] or "unknown", text.size(disk["size_bytes"]))
    await session.write_lines(text.wrap("The data disk is %s." % name) + [_contents(appliance, holds)])
    if (await session.ask("Type %s to format it: " % WORD)).strip() != WORD:
        raise Cancelled()
    await session.write("formatting ...\n")
    await appliance.format_disk()
    return {"disk": name, "held": holds, "text": "the disk is formatted and ready for backups"}


def _contents(appliance, holds: str) -> str:
    if holds == machine.OURS and appliance.store:
        usage = appliance.store.usage()
        return "It holds %d views of %d clients: all of them will be lost." % (usage["views"], usage["clients"])
    return _HOLDS[holds]


COMMANDS = (Command("disk format", (), "erase the data disk and prepare it for backups", _format),)
