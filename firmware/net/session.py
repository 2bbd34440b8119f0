"""One agent's connection: which message is legal in which state, what comes next, and how it ends. Started by the server.

The handlers of the messages are in entry.py, upload.py and retrieve.py: `async handler(session, request, values)`, where values
are the rows of the message, or the body itself (memoryview, valid until return) for a pack.
"""

import asyncio

from firmware.formats import message
from firmware.formats.record import FormatError
from firmware.formats.refusal import Refusal
from firmware.net import entry, heal, retrieve, upload
from firmware.net.channel import Disconnected, Silence, body_bound
from hal.errors import CorruptData, HalError, NoSpace
from hal.loop import now_ms

ENTRY_MS = 10000  # handshake and everything before READY, together
IDLE_MS = 3600000  # between two frames of a known client; the kernel's keepalive finds dead ones sooner
SILENT_MS = 300000  # of one that holds a slot: agents say something every minute
FAREWELL_MS = 2000  # for the ERROR to leave and be read
FAREWELL_UNKNOWN_MS = 500

# States.
NEW = "new"  # nothing said yet
GREETED = "greeted"  # HELLO was answered
PAIRED = "paired"  # has a token, has not shown it yet
KNOWN = "known"  # authenticated
BACKUP = "backup"  # has a slot and a BDF id

_UNKNOWN = (NEW, GREETED, PAIRED)
_AUTHENTICATED = (KNOWN, BACKUP)

# message, states in which it is legal, state after its handler (None: the same), handler
TABLE = (
    (message.HELLO, (NEW,), GREETED, entry.hello),
    (message.PAIR, (GREETED,), PAIRED, entry.pair),
    (message.AUTH, (GREETED, PAIRED), KNOWN, entry.auth),
    (message.BEGIN, (KNOWN,), BACKUP, upload.begin),
    (message.PACK, (BACKUP,), None, upload.pack),
    (message.SYNC, (BACKUP,), None, upload.sync),
    (message.RFE_ASK, (BACKUP,), None, upload.ask),
    (message.RFE_PROVE, (BACKUP,), None, upload.prove),
    (message.COMMIT, (BACKUP,), KNOWN, upload.commit),
    (message.ABANDON, (BACKUP,), KNOWN, upload.abandon),
    (message.PRINTS_GET, _AUTHENTICATED, None, retrieve.prints),
    (message.VIEWS_GET, _AUTHENTICATED, None, retrieve.views),
    (message.ITEMS_GET, _AUTHENTICATED, None, retrieve.items),
    (message.OWNED_GET, _AUTHENTICATED, None, retrieve.owned),
    (message.HEAL_GET, (KNOWN,), None, heal.get),
    (message.HEAL_PACK, (KNOWN,), None, heal.pack),
    (message.HEAL_END, (KNOWN,), None, heal.end),
    (message.STATUS_GET, _AUTHENTICATED, None, retrieve.status),
)

_ROWS = {row[0]: row for row in TABLE}
_BOUNDS = {row[0]: body_bound(row[0]) for row in TABLE}

# After these the connection is closed: the two sides no longer agree where they are.
CLOSING = ("PROTOCOL", "VERSION", "PAIRING", "AUTH", "LIMIT", "INTERNAL", "SHUTDOWN")

# What a driver's error is to the other side; any other one is INTERNAL.
_HARDWARE = ((NoSpace, "FULL"), (CorruptData, "CORRUPT"))


def legal(state: str) -> list:
    """Message numbers that may come in `state`."""
    return [row[0] for row in TABLE if state in row[1]]


class Session:
    """`server` counts and ends sessions. `client` is set once authenticated, `backup` and `slot` while one runs."""

    def __init__(self, server, channel):
        self.server = server
        self.appliance = server.appliance
        self.channel = channel
        self.peer = channel.connection.peer
        self.address = self.peer.rsplit(":", 1)[0]
        self.state = NEW
        self.client = None
        self.store = None  # that knows the client
        self.readers = {}  # source -> (store or mounted tape, its reader for this client)
        self.backup = None
        self.slot = None
        self.heal = None  # between HEAL_GET and HEAL_END
        self.task = None
        self.waiting = False  # between two frames
        self.since_ms = now_ms()  # when it last began to wait
        self._deadline_ms = now_ms() + ENTRY_MS
        self._request = 0
        self._ending = None
        self.dropped = False

    def known(self) -> bool:
        """Whether the client is authenticated."""
        return self.state in _AUTHENTICATED

    async def run(self) -> None:
        """Until the connection ends. Raises nothing."""
        try:
            await self._converse()
        except Disconnected as gone:
            self._note("gone", "is gone in %s: %s" % (self.state, gone), self.backup is not None)
        except Silence:
            await self._farewell(Refusal("PROTOCOL", "no frame came in time: connect again when there is something to say"))
        except Refusal as refusal:
            await self._farewell(refusal)
        except asyncio.CancelledError:
            if self.dropped:
                return
            await self._farewell(
                self._ending or Refusal("SHUTDOWN", "the appliance is going down", 60), self._ending is not None
            )
        except Exception as error:
            self.appliance.log.exception("lan", error)
            await self._farewell(Refusal("INTERNAL", "the appliance failed in %s: see its log" % self.state))
        finally:
            self.end_backup()
            await self.channel.connection.close()

    def end(self, refusal) -> None:
        """Say `refusal` and close: at once between two frames, else when the present one is answered."""
        self._ending = refusal
        if self.waiting:
            self.waiting = False
            self.task.cancel()

    def drop(self) -> None:
        """Close at once, without a word: before it is known who is there."""
        self.dropped = True
        self.task.cancel()

    def end_backup(self, finished: bool = False) -> None:
        """Give the slot back. A backup that is not `finished` stays pending and is continued by the next BEGIN."""
        backup, slot = self.backup, self.slot
        self.backup = self.slot = None
        self.channel.lend(None)
        if backup is not None and not finished:
            self.server.leave(self.client.id, backup, slot)
        elif slot is not None:
            self.server.slots.release(slot)

    async def _converse(self) -> None:
        await self._handshake()
        while True:
            if self._ending:
                raise self._ending
            if self.known() and self.appliance.store is not self.store:
                raise Refusal("NO_DISK", "the disk of the appliance was taken out of service")
            frame = await self._next()
            await self._answer(frame, _ROWS[frame.type])

    async def _handshake(self) -> None:
        try:
            await self.channel.connection.handshake(self._left_ms())
        except (EOFError, HalError) as error:
            raise Disconnected(str(error))

    async def _next(self):
        """The next frame's head, legal here and not too long."""
        self._request = 0
        self.since_ms = now_ms()
        self.waiting = True
        try:
            frame = await self.channel.header(self._patience_ms())
        finally:
            self.waiting = False
        self._request = frame.request
        row = _ROWS.get(frame.type)
        if row is None or self.state not in row[1]:
            expected = ", ".join([message.NAMES[known] for known in legal(self.state)])
            raise Refusal("PROTOCOL", "expected one of %s, got message %d" % (expected, frame.type))
        if frame.length > _BOUNDS[frame.type]:
            texts = (message.NAMES[frame.type], _BOUNDS[frame.type], frame.length)
            raise Refusal("LIMIT", "%s: expected at most %d bytes, got %d" % texts)
        return frame

    async def _answer(self, frame, row) -> None:
        """Receive the body, run the handler, take the next state. A refusal that keeps the connection is sent here."""
        if self.known():
            body = await self.channel.body(frame.length)
        else:
            body = await self.channel.body(frame.length, self._left_ms())
        try:
            values = body if frame.type in message.BODY_IS_PACK else message.RECORDS[frame.type].unpack(body)
            await self._handled(row[3], frame.request, values)
        except FormatError as error:
            raise Refusal("PROTOCOL", str(error))
        except Refusal as refusal:
            # Packs behind a refused one are already under way: the backup cannot be taken up within this connection.
            if refusal.name in CLOSING or frame.type in message.BODY_IS_PACK or not self.known():
                raise
            await self.channel.refuse(refusal, frame.request)
            return
        self.state = row[2] or self.state

    async def _handled(self, handler, request: int, values) -> None:
        try:
            await handler(self, request, values)
        except HalError as error:
            for kind, name in _HARDWARE:
                if isinstance(error, kind):
                    raise Refusal(name, str(error))
            self.appliance.log.exception("lan", error)
            raise Refusal("INTERNAL", "the appliance's hardware: %s" % error)

    async def _farewell(self, refusal, patient: bool = True) -> None:
        """ERROR and, if `patient`, a moment to read it; nothing if a frame is half written. The backup ends first."""
        self.end_backup()
        self._note(refusal.name, "was refused: %s: %s" % (refusal.name, refusal.text))
        if not self.channel.clean:
            return
        try:
            await self.channel.refuse(refusal, self._request, FAREWELL_MS)
            if patient:
                await self.channel.drain(FAREWELL_MS if self.client else FAREWELL_UNKNOWN_MS)
        except (Disconnected, asyncio.CancelledError):
            pass

    def _patience_ms(self) -> int:
        """How long the next frame may take to begin."""
        if self.slot is not None:
            return SILENT_MS
        return IDLE_MS if self.known() else self._left_ms()

    def _left_ms(self) -> int:
        return max(1, self._deadline_ms - now_ms())

    def _note(self, what: str, text: str, matters: bool = True) -> None:
        if self.client and matters:
            self.server.log.info((self.client.id, what), "client %s, %s, %s" % (self.client.name, self.peer, text))
        else:  # a stranger must not be able to fill the log
            self.appliance.log.debug("lan", "%s %s" % (self.peer, text))
