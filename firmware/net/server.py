"""The agents' door: a TLS listener and a bounded number of sessions. Made and started by the appliance."""

import asyncio

from firmware.core.brake import Brake
from firmware.core.seldom import Seldom
from firmware.formats.refusal import Refusal
from firmware.net.channel import Channel
from firmware.net.session import BACKUP, Session
from firmware.sched.slots import Slots
from hal.loop import now_ms, sleep_ms

UNKNOWN = 32  # sessions before authentication, altogether
UNKNOWN_PEER = 8  # and from one address
SESSIONS = 1024  # authenticated sessions, altogether: an idle one costs some 40 KB, most of it mbedTLS
SESSIONS_CLIENT = 4  # and of one client
RETRY_S = 30
TAKE_OVER_MS = 30000  # a backup silent for so long gives way to a new BEGIN of its client
STOP_MS = 5000


class Server:
    """`appliance` has store, mounted, config, log, identity, machine and pairing; `address` is the bound (host, port)."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.slots = Slots(appliance.config)
        self.brake = Brake(free=3, longest_ms=30000, peers=256)
        self.log = Seldom(appliance.log, "lan")
        self.steps = Seldom(appliance.log, "lan", free=4)  # what agents do in the order of things
        self.sessions = []
        self.leaving = []  # clients whose cut backup is being made durable
        self.address = None
        self.refused = 0  # connections closed unheard because there were too many
        self._listener = None
        self._accepting = None

    async def start(self, host: str = "0.0.0.0") -> None:
        """Listen on `lan.port` and serve in tasks of its own. Raises BusError if the port is taken."""
        identity = self.appliance.identity
        port = self.appliance.config.get("lan.port")
        self._listener = await self.appliance.machine.listen_tls(host, port, identity.certificate, identity.key)
        self.address = self._listener.address
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Close the listener and end every session with ERROR SHUTDOWN; a request under way has 5 s to be answered."""
        if self._listener is None:
            return
        self._accepting.cancel()
        await self._listener.close()
        self._listener = None
        _end(self.sessions, Refusal("SHUTDOWN", "the appliance is going down", RETRY_S))
        if not await _until(lambda: not self.sessions):
            for session in list(self.sessions):
                session.task.cancel()
        await _until(lambda: not self.sessions and not self.leaving)

    async def disconnect(self, client_id: int) -> None:
        """End the sessions of a client that is removed or paired anew, within 5 s."""
        sessions = self._of(client_id)
        _end(sessions, Refusal("AUTH", "this client was removed or paired again"))
        await _until(lambda: not any([session in self.sessions for session in sessions]) and client_id not in self.leaving)

    def admit(self, session, client) -> None:
        """Raises Refusal BUSY if an authenticated session of `client` is one too many."""
        known = [other for other in self.sessions if other.client]
        if len(known) >= SESSIONS or len(self._of(client.id)) >= SESSIONS_CLIENT:
            raise Refusal("BUSY", "too many connections: ask again in %d s" % RETRY_S, RETRY_S)

    async def take_over(self, session) -> None:
        """End a backup of the same client whose connection has been silent: its agent is gone and has come back as `session`.

        On return what arrived of a backup that was cut is durable, so GRANT counts it; if not within 5 s, BEGIN is BUSY.
        """
        silent = [
            other
            for other in self._of(session.client.id)
            if other.state == BACKUP and other.waiting and now_ms() - other.since_ms > TAKE_OVER_MS
        ]
        _end(silent, Refusal("BUSY", "another connection of this client took over"))
        await _until(lambda: not any([other.slot for other in silent]) and session.client.id not in self.leaving)

    def leave(self, client_id: int, backup, slot) -> None:
        """Make durable what arrived of a cut backup, in a task of its own; then its slot is free."""
        self.leaving.append(client_id)
        asyncio.create_task(self._leave(client_id, backup, slot))

    async def _leave(self, client_id: int, backup, slot) -> None:
        try:
            await backup.leave()
        except Exception as error:
            self.appliance.log.exception("lan", error)
        finally:
            self.slots.release(slot)
            self.leaving.remove(client_id)

    def status(self) -> dict:
        """For `show status`."""
        return {"sessions": len(self.sessions), "backups": self.slots.running(), "refused": self.refused}

    def _of(self, client_id: int) -> list:
        return [session for session in self.sessions if session.client and session.client.id == client_id]

    async def _accept(self) -> None:
        while True:
            try:
                connection = await self._listener.accept()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the door must not close for good
                self.appliance.log.exception("lan", error)
                await sleep_ms(1000)
                continue
            session = Session(self, Channel(connection))
            if self._crowded(session.address):
                self.refused += 1
                self.log.warning((session.address, "crowd"), "%s: too many connections that say nothing" % session.peer)
                await connection.close()
            else:
                self._make_room()
                self.sessions.append(session)
                session.task = asyncio.create_task(self._serve(session))

    def _unknown(self) -> list:
        return [session for session in self.sessions if not session.known() and not session.dropped]

    def _crowded(self, address: str) -> bool:
        return len([session for session in self._unknown() if session.address == address]) >= UNKNOWN_PEER

    def _make_room(self) -> None:
        """Who says nothing for longest gives way to the newcomer, who may be honest, and says so within milliseconds."""
        unknown = self._unknown()
        if len(unknown) >= UNKNOWN:
            self.refused += 1
            self.log.warning("crowd", "%d connections say nothing: the oldest ones are closed" % UNKNOWN)
            unknown[0].drop()

    async def _serve(self, session) -> None:
        try:
            await session.run()
        finally:
            self.sessions.remove(session)


def _end(sessions: list, refusal) -> None:
    for session in list(sessions):
        session.end(refusal)


async def _until(condition) -> bool:
    """Wait for the condition, at most STOP_MS; whether it came true."""
    deadline_ms = now_ms() + STOP_MS
    while not condition():
        if now_ms() >= deadline_ms:
            return False
        await sleep_ms(10)
    return True
