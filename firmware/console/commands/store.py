"""store check, disk rebuild."""

from firmware.console import text
from firmware.console.progress import DETACHED, watch
from firmware.console.registry import Command
from firmware.console.session import Cancelled
from firmware.formats.refusal import Refusal

WORD = "REBUILD"


async def _job(session, name: str, job) -> dict:
    """Runs the coroutine that `job()` gives; its report, or that it goes on without this console."""
    result = await watch(session, name, job, lambda: session.appliance.upkeep.job)
    if result is DETACHED:
        return {"detached": True, "text": "%s goes on; `show log` shows how it ends" % name}
    return dict(result, detached=False)


async def _check(session, values: dict) -> dict:
    return await _job(session, "store check", session.appliance.upkeep.check)


def _show_check(data: dict) -> list:
    if data["detached"]:
        return text.wrap(data["text"])
    lines = ["%d views and %d files were checked." % (data["views"], data["files"])]
    if not data["findings"]:
        return lines + ["The catalog agrees with them."]
    for row in data["findings"]:
        lines += text.pairs(
            [
                ("found", "%s, %d times" % (row["finding"], row["count"])),
                ("means", row["meaning"]),
                ("do", row["advice"]),
                ("where", "; ".join(row["examples"]) + ("; ..." if row["count"] > len(row["examples"]) else "")),
            ]
        )
    return lines


async def _rebuild(session, values: dict) -> dict:
    lines = "The catalog is made anew from what the segments hold. Agents are disconnected, backups under way begin anew."
    await session.write_lines(text.wrap(lines))
    if (await session.ask("Type %s to do it: " % WORD)).strip() != WORD:
        raise Cancelled()
    return await _job(session, "disk rebuild", session.appliance.upkeep.rebuild)


def _show_rebuild(data: dict) -> list:
    if data["detached"]:
        return text.wrap(data["text"])
    lines = ["The catalog holds %d views of %d clients in %d packs." % (data["views"], data["clients"], data["packs"])]
    if data["damaged"]:
        lines += text.wrap("%d records are damaged: `store check` says what that means." % data["damaged"])
    return lines


async def _damage(session, values: dict) -> dict:
    return await _job(session, "store damage", session.appliance.upkeep.damage)


def _show_damage(data: dict) -> list:
    if data["detached"]:
        return text.wrap(data["text"])
    if not data["packs"]:
        return ["No damage is known; `show disk` tells how far the scrub has come."]
    rows = [(row["client"], row["first_view"], row["last_view"], row["path"]) for row in data["files"]]
    lines = text.table(("client", "from view", "to view", "file or directory"), rows) if rows else ["No view needs them."]
    advice = "Agents that still hold a file heal it at the end of their next backup; else restore it from a tape."
    return ["%d packs are damaged." % data["packs"]] + lines + (["... and more"] if data["more"] else []) + text.wrap(advice)


async def _scrub(session, values: dict) -> dict:
    appliance = session.appliance
    if appliance.scrub is None:
        raise Refusal("NO_DISK", appliance.disk_advice())
    appliance.scrub.start()
    return {"text": "the scrub goes on in the background; `show disk` shows it"}


COMMANDS = (
    Command("disk scrub", (), "read everything on the data disk now and check it", _scrub),
    Command("store damage", (), "name the files and views that damage on the disk hits", _damage, _show_damage),
    Command("store check", (), "compare the catalog with the views and explain what differs", _check, _show_check),
    Command("disk rebuild", (), "make the catalog anew from what the segments hold", _rebuild, _show_rebuild),
)
