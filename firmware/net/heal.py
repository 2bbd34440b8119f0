"""HEAL_GET to HEALED: damaged items come back from a client that holds them. Handlers of session.py; the store does the work."""

from firmware.formats import message
from firmware.formats.refusal import Refusal
from firmware.store.heal import Heal


async def get(session, request: int, values) -> None:
    heal = session.heal = Heal(session.store, session.client.id)
    await session.channel.send(message.HEAL_WANTED, request, await heal.wanted())


def _running(session):
    if session.heal is None:
        raise Refusal("PROTOCOL", "expected HEAL_GET first")
    return session.heal


async def pack(session, request: int, body) -> None:
    await _running(session).take(body)


async def end(session, request: int, values) -> None:
    heal, session.heal = _running(session), None
    if heal.healed:
        session.server.steps.info((session.client.id, "heal"), "client %s healed %d packs" % (session.client.name, heal.healed))
    await session.channel.send(message.HEALED, request, heal.healed)
