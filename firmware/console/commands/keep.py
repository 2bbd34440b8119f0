"""store merge."""

from firmware.console.commands.clients import store_of
from firmware.console.registry import Command


async def _merge(session, values: dict) -> dict:
    store_of(session.appliance)
    done = await session.appliance.keeper.merge_now()
    session.appliance.keeper.wake()  # compaction goes on by itself
    return {"views": done["views"], "text": done["text"]}


COMMANDS = (Command("store merge", (), "merge views and free what is too old now, as every day at keep.merge_time", _merge),)
