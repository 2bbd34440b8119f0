"""client add, remove, pair."""

from firmware.console.registry import Arg, Command, Listed
from firmware.core.settings import Text
from firmware.formats.pairing import LIFETIME_S
from firmware.formats.refusal import Refusal

NAME_CHARS = 64

# What a client is called; longer or stranger names would break tables and tapes.
_NEW_NAME = Text(1, NAME_CHARS, "-._")


def names(appliance) -> list:
    """Names of all clients, for completion."""
    return [client.name for client in appliance.store.clients()] if appliance.store else []


CLIENT = Arg("NAME", Listed("the name of a client", names), "the client")


def store_of(appliance):
    """The store. Raises Refusal NO_DISK."""
    if appliance.store is None:
        raise Refusal("NO_DISK", "there is no formatted disk: %s" % appliance.disk_advice())
    return appliance.store


def find(appliance, name: str):
    """The client of that name. Raises Refusal NO_DISK, NOT_FOUND."""
    client = store_of(appliance).client_by_name(name)
    if client is None:
        raise Refusal("NOT_FOUND", "no client is named %s: `show clients` lists them" % name)
    return client


async def _add(session, values: dict) -> dict:
    client = await store_of(session.appliance).add_client(values["name"])
    return {
        "name": client.name,
        "text": "client %s added; `client pair %s` gives its pairing code" % (client.name, client.name),
    }


async def _remove(session, values: dict) -> dict:
    appliance = session.appliance
    client = find(appliance, values["name"])
    views = len(appliance.store.views(client.id))
    await session.confirm("Remove client %s and its %d views for ever?" % (client.name, views))
    if appliance.server:
        await appliance.server.disconnect(client.id)
    await appliance.store.remove_client(client.id)
    return {"name": client.name, "text": "client %s removed" % client.name}


async def _pair(session, values: dict) -> dict:
    client = find(session.appliance, values["name"])
    code = session.appliance.pairing.new_code(client)
    minutes = LIFETIME_S // 60
    return {
        "name": client.name,
        "code": code,
        "text": "pairing code for %s, good for %d minutes: %s" % (client.name, minutes, code),
    }


COMMANDS = (
    Command("client add", (Arg("NAME", _NEW_NAME, "how the PC shall be called"),), "add a client (a PC)", _add),
    Command("client remove", (CLIENT,), "remove a client and all its views", _remove),
    Command("client pair", (CLIENT,), "give a code with which the client's agent pairs once", _pair),
)
