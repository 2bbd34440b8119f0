"""VIEWS_GET, OWNED_GET, ITEMS_GET, PRINTS_GET, STATUS_GET: what a client may see of its own. Handlers of session.py."""

import json

from firmware.formats import message
from firmware.formats.pack import KINDS
from firmware.formats.refusal import Refusal


class _Sink:
    """Takes what a reader finds and sends it on; the reader waits while the line is full."""

    def __init__(self, session, request: int):
        self._channel = session.channel
        self._request = request

    async def data(self, body) -> None:
        """`body` is a pack; free to be reused on return."""
        await self._channel.send_pack(message.DATA, self._request, body)

    async def lost(self, row: int, first: int, count: int, text: str) -> None:
        await self._channel.send(message.LOST, self._request, row, first, count, text)

    async def prints(self, last: bool, rows: list) -> None:
        await self._channel.send(message.PRINTS, self._request, 1 if last else 0, rows)


def _reader(session, source: int):
    """(reader, label of the tape or ""). One reader serves the session for as long as what it reads is there."""
    if source not in (message.DISK, message.TAPE):
        raise Refusal("PROTOCOL", "source: expected 0 or 1, got %d" % source)
    owner = session.store if source == message.DISK else session.appliance.mounted
    if owner is None:
        raise Refusal("NO_TAPE", "no tape is mounted: mount one on the console")
    kept = session.readers.get(source)
    if kept is None or kept[0] is not owner:
        kept = session.readers[source] = (owner, owner.reader(session.client.uuid))
    return kept[1], "" if source == message.DISK else owner.label


async def views(session, request: int, values) -> None:
    reader, label = _reader(session, values.source)
    await session.channel.send(message.VIEWS, request, label, reader.views(values.after))


async def items(session, request: int, values) -> None:
    if values.kind not in KINDS:
        raise Refusal("PROTOCOL", "ITEMS_GET.kind: expected 0 to 2, got %d" % values.kind)
    reader, _ = _reader(session, values.source)
    lost = await reader.items(values.kind, values.stretches, _Sink(session, request))
    await session.channel.send(message.END, request, min(lost, 0xFFFFFFFF))


async def owned(session, request: int, values) -> None:
    reader, _ = _reader(session, values.source)
    found = reader.owned([row[0] for row in values.groups])
    await session.channel.send(message.OWNED, request, [(1 if mine else 0,) for mine in found])


async def prints(session, request: int, values) -> None:
    reader, _ = _reader(session, message.DISK)
    await reader.prints(values.group, values.index, _Sink(session, request))


async def status(session, request: int, values) -> None:
    await session.channel.send(message.STATUS, request, json.dumps(_status(session)))


def _status(session) -> dict:
    appliance = session.appliance
    usage = session.store.usage()
    views_held = session.store.reader(session.client.uuid).views(0)
    last = views_held[-1] if views_held else None
    return {
        "appliance": appliance.config.get("appliance.name"),
        "client": session.client.name,
        "capacity_bytes": usage["capacity_bytes"],
        "free_bytes": usage["free_segments"] * usage["segment_bytes"],
        "views": len(views_held),
        "last_view": {"view": last[0], "time_ns": last[3], "files": last[4], "bytes": last[5]} if last else None,
        "tape": appliance.mounted.label if appliance.mounted else None,
    }
