"""BEGIN to COMMIT: a backup on its way in. Handlers of session.py; the store does the work."""

from firmware.formats import limits, message
from firmware.store.scrub_damage import Damage


async def begin(session, request: int, values) -> None:
    await session.server.take_over(session)
    slot = session.slot = session.server.slots.take()
    try:
        backup = session.backup = await session.store.begin(session.client.id)
    except BaseException:
        session.end_backup()
        raise
    session.channel.lend(slot.buffer)
    how = "continues" if any(backup.next) else "begins"
    text = "client %s, %s, %s backup %d" % (session.client.name, session.peer, how, backup.group)
    session.server.steps.info((session.client.id, "begin"), text)
    await session.channel.send(message.GRANT, request, backup.group, *backup.next, slot.rate_bytes_s, limits.PACK_RAW_BYTES)


async def pack(session, request: int, body) -> None:
    await session.backup.add_pack(body)


async def sync(session, request: int, values) -> None:
    await session.channel.send(message.SYNCED, request, *await session.backup.sync())


async def ask(session, request: int, values) -> None:
    await session.channel.send(message.RFE_NOMINEES, request, *await session.backup.nominate(values.crcs))


async def prove(session, request: int, values) -> None:
    await session.channel.send(message.RFE_PROVEN, request, await session.backup.prove(values.batch, values.proofs))


async def commit(session, request: int, values) -> None:
    view, stored_bytes = await session.backup.commit(*values)
    session.end_backup(finished=True)
    text = "client %s has view %d, %d bytes stored" % (session.client.name, view, stored_bytes)
    session.server.steps.info((session.client.id, "view"), text)
    damage = 1 if Damage(session.store).count() else 0
    await session.channel.send(message.COMMITTED, request, view, stored_bytes, damage)


async def abandon(session, request: int, values) -> None:
    await session.backup.abandon()
    session.end_backup(finished=True)
    await session.channel.send(message.ABANDONED, request)
