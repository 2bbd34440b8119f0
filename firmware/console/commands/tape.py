"""tape label, backup, verify, eject, load, mount, unmount."""

from firmware.console.progress import DETACHED, watch
from firmware.console.registry import Arg, Command
from firmware.core.settings import Choice, Text
from firmware.formats.refusal import Refusal

LABEL_CHARS = 32

_NAME = Arg("NAME", Text(1, LABEL_CHARS, "-._"), "what the cartridge shall be called")
_FORCE = Arg("force", Choice("force"), "overwrite what the cartridge holds", optional=True)


def service_of(appliance):
    """The tape service. Raises Refusal NO_TAPE."""
    if appliance.tape is None:
        raise Refusal("NO_TAPE", "there is no tape service: `show log` says why")
    return appliance.tape


async def _job(session, name: str, job) -> dict:
    """Runs `job`, a function of the service that gives a coroutine."""
    service = service_of(session.appliance)
    result = await watch(session, "tape " + name, lambda: job(service), lambda: service.job)
    if result is DETACHED:
        return {"detached": True, "text": "tape %s goes on; `show tape` shows it" % name}
    return dict(result, detached=False)


async def _label(session, values: dict) -> dict:
    return await _job(session, "label", lambda service: service.label(values["name"], bool(values["force"])))


async def _backup(session, values: dict) -> dict:
    return await _job(session, "backup", lambda service: service.backup())


async def _verify(session, values: dict) -> dict:
    return await _job(session, "verify", lambda service: service.verify())


async def _eject(session, values: dict) -> dict:
    return await _job(session, "eject", lambda service: service.eject())


async def _load(session, values: dict) -> dict:
    return await _job(session, "load", lambda service: service.load())


async def _mount(session, values: dict) -> dict:
    return await _job(session, "mount", lambda service: service.mount())


async def _unmount(session, values: dict) -> dict:
    return await _job(session, "unmount", lambda service: service.unmount())


COMMANDS = (
    Command("tape label", (_NAME, _FORCE), "write a new label onto the cartridge; what it held is lost", _label),
    Command("tape backup", (), "copy the disk to the cartridge", _backup),
    Command("tape verify", (), "read the cartridge back and check every block", _verify),
    Command("tape eject", (), "unload the cartridge", _eject),
    Command("tape load", (), "load the cartridge that is in the drive", _load),
    Command("tape mount", (), "open the cartridge as a read-only store, for agents to restore from", _mount),
    Command("tape unmount", (), "close the cartridge that was opened", _unmount),
)
