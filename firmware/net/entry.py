"""HELLO, PAIR and AUTH: who speaks. Handlers of session.py."""

from firmware.formats import message
from firmware.formats.frame import PROTOCOL
from firmware.formats.refusal import Refusal
from firmware.net import policy
from firmware.version import VERSION

SOFTWARE = "bobbin " + VERSION
_NO_UUID = bytes(16)


async def hello(session, request: int, values) -> None:
    if values.protocol != PROTOCOL:
        raise Refusal("VERSION", "protocol: expected %d, got %d: install matching versions" % (PROTOCOL, values.protocol))
    appliance = session.appliance
    uuid = appliance.store.uuid if appliance.store else _NO_UUID
    name = appliance.config.get("appliance.name")
    await session.channel.send(message.WELCOME, request, PROTOCOL, uuid, appliance.machine.clock.now_ns(), name, SOFTWARE)


async def pair(session, request: int, values) -> None:
    pairing = session.appliance.pairing
    client, token, proof = await _slowed(session, "PAIRING", pairing.pair(values.nonce, values.proof))
    session.appliance.log.info("lan", "%s paired as client %s" % (session.peer, client.name))
    await session.server.disconnect(client.id)  # whoever came in with the token that is void now
    await session.channel.send(message.PAIRED, request, client.uuid, token, proof, client.name)


async def auth(session, request: int, values) -> None:
    pairing = session.appliance.pairing
    client = await _slowed(session, "AUTH", pairing.authenticate(values.uuid, values.token))
    session.server.admit(session, client)
    session.client = client
    session.store = session.appliance.store
    await session.channel.send(message.READY, request, client.name, policy.document(session.appliance.config))


async def _slowed(session, wrong: str, attempt):
    """The attempt's result; one refused as `wrong` counts against the address."""
    brake = session.server.brake
    wait_s = (brake.delay_ms(session.address) + 999) // 1000
    if wait_s:
        attempt.close()
        raise Refusal("BUSY", "too many failed attempts from here: wait %d s" % wait_s, wait_s)
    try:
        result = await attempt
    except Refusal as refusal:
        if refusal.name == wrong:
            brake.failed(session.address)
            session.server.log.warning((session.address, wrong), "%s: %s" % (session.peer, refusal.text))
        raise
    brake.succeeded(session.address)
    return result
