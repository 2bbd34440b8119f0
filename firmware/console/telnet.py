"""Telnet (RFC 854) for the console: option negotiation without loops (RFC 1143), window size (RFC 1073), and the server.

The server listens only while the setting telnet.enabled is on.
"""

import asyncio

from firmware.core.tasks import cancel
from hal.errors import HalError
from hal.loop import sleep_ms

SESSIONS = 4
_WRITE_MS = 30000

_SE, _NOP, _BRK, _IP, _AO, _AYT, _EC, _EL, _SB = 240, 241, 243, 244, 245, 246, 247, 248, 250
_WILL, _WONT, _DO, _DONT, _IAC = 251, 252, 253, 254, 255

ECHO, SUPPRESS_GO_AHEAD, WINDOW_SIZE = 1, 3, 31
_OURS = (ECHO, SUPPRESS_GO_AHEAD)
_THEIRS = (SUPPRESS_GO_AHEAD, WINDOW_SIZE)

# Commands that stand for a key.
_KEYS = {_IP: b"\x03", _BRK: b"\x03", _EC: b"\x7f", _EL: b"\x15"}
_SUB_BYTES = 64  # of a subnegotiation; more is dropped
_COLUMNS_LOW, _COLUMNS_HIGH = 20, 500

_NO, _WANTED, _YES = "no", "wanted", "yes"

# (state, whether the peer wants it, whether we support it) -> (new state, whether to answer). We ask once and never change
# our mind, so RFC 1143 needs no queue: a state that does not change is never answered, and nothing can loop.
_MOVES = {
    (_NO, True, True): (_YES, True),
    (_NO, True, False): (_NO, True),
    (_NO, False, True): (_NO, False),
    (_NO, False, False): (_NO, False),
    (_WANTED, True, True): (_YES, False),
    (_WANTED, False, True): (_NO, False),
    (_YES, True, True): (_YES, False),
    (_YES, False, True): (_NO, True),
}


class Protocol:
    """The protocol without I/O. `columns` is the peer's window width once it told."""

    def __init__(self):
        self.columns = 80
        self._ours = dict.fromkeys(_OURS, _WANTED)
        self._theirs = dict.fromkeys(_THEIRS, _WANTED)
        self._command = None  # bytes of an unfinished command, b"" after IAC
        self._sub = None  # bytes of an unfinished subnegotiation

    def start(self) -> bytes:
        """What to send first."""
        offers = [bytes([_IAC, _WILL, option]) for option in _OURS]
        return b"".join(offers + [bytes([_IAC, _DO, option]) for option in _THEIRS])

    def receive(self, data: bytes):
        """(bytes typed, bytes to answer) of what came."""
        typed, answer = bytearray(), bytearray()
        for byte in data:
            if self._command is not None:
                self._in_command(byte, typed, answer)
            elif byte == _IAC:
                self._command = b""
            elif self._sub is None:
                typed.append(byte)
            elif len(self._sub) < _SUB_BYTES:
                self._sub.append(byte)
        return bytes(typed), bytes(answer)

    def send(self, text: str) -> bytes:
        """`text` as it goes over the wire: a line ends with CR LF, another CR is followed by NUL."""
        data = text.encode().replace(b"\xff", b"\xff\xff")
        return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")

    def _in_command(self, byte: int, typed, answer) -> None:
        verb = self._command
        self._command = None
        if verb:
            answer.extend(self._option(verb[0], byte))
        elif byte == _IAC:
            (typed if self._sub is None else self._sub).append(byte)
        elif byte == _SB:
            self._sub = bytearray()
        elif byte == _SE:
            self._subnegotiated()
        elif byte in (_WILL, _WONT, _DO, _DONT):
            self._command = bytes([byte])
        elif byte == _AYT:
            answer.extend(b"\r\n[bobbin]\r\n")
        else:
            typed.extend(_KEYS.get(byte, b""))

    def _option(self, verb: int, option: int) -> bytes:
        ours = verb in (_DO, _DONT)
        states, supported = (self._ours, _OURS) if ours else (self._theirs, _THEIRS)
        state = states.get(option, _NO)
        new, answered = _MOVES[(state, verb in (_DO, _WILL), option in supported)]
        if option in supported:
            states[option] = new
        if not answered:
            return b""
        yes, no = (_WILL, _WONT) if ours else (_DO, _DONT)
        return bytes([_IAC, yes if new == _YES else no, option])

    def _subnegotiated(self) -> None:
        sub, self._sub = self._sub, None
        if sub and sub[0] == WINDOW_SIZE and len(sub) == 5:
            width = sub[1] << 8 | sub[2]
            if width:
                self.columns = min(max(width, _COLUMNS_LOW), _COLUMNS_HIGH)


class TelnetTerminal:
    """As `firmware.console.terminal.SerialTerminal`, over a hal.net.Connection."""

    remote = True

    def __init__(self, connection):
        self._connection = connection
        self._protocol = Protocol()
        # Without the port: the brake on passwords counts for the host.
        self.peer = "telnet " + connection.peer.rsplit(":", 1)[0]

    @property
    def columns(self) -> int:
        return self._protocol.columns

    async def start(self) -> None:
        await self._connection.write(self._protocol.start(), _WRITE_MS)

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        while True:
            data = await self._connection.read(limit, timeout_ms)
            if not data:
                return b""
            typed, answer = self._protocol.receive(data)
            if answer:
                await self._connection.write(answer, _WRITE_MS)
            if typed:
                return typed

    async def write(self, text: str) -> None:
        await self._connection.write(self._protocol.send(text), _WRITE_MS)


class TelnetServer:
    """Follows the settings telnet.enabled and telnet.port. `port` is the bound one, 0 while it does not listen.

    `serve(terminal)` is the coroutine of a session.
    """

    def __init__(self, appliance, serve):
        self._appliance = appliance
        self._serve = serve
        self._changed = asyncio.Event()
        self._sessions = 0
        self.port = 0
        for name in ("telnet.enabled", "telnet.port"):
            appliance.config.watch(name, self._changed.set)

    async def run(self) -> None:
        """For ever."""
        while True:
            self._changed.clear()
            if self._appliance.config.get("telnet.enabled"):
                await self._listen_until_changed()
            else:
                await self._changed.wait()

    async def _listen_until_changed(self) -> None:
        config, log = self._appliance.config, self._appliance.log
        try:
            listener = await self._appliance.machine.listen_tcp(self._appliance.lan_host, config.get("telnet.port"))
        except HalError as error:
            log.error("telnet", str(error))
            await self._changed.wait()
            return
        self.port = listener.address[1]
        log.info("telnet", "listens on port %d" % self.port)
        accepting = asyncio.create_task(self._accept(listener))
        try:
            await self._changed.wait()
        finally:
            self.port = 0
            await cancel(accepting)
            await listener.close()
        # The session that switched it off gets its answer first.
        await sleep_ms(200)
        await self._appliance.supervisor.stop("telnet session")

    async def _accept(self, listener) -> None:
        while True:
            connection = await listener.accept()
            self._appliance.supervisor.spawn("telnet session " + connection.peer, lambda c=connection: self._session(c))

    async def _session(self, connection) -> None:
        self._sessions += 1
        try:
            terminal = TelnetTerminal(connection)
            await terminal.start()
            if self._sessions > SESSIONS:
                await terminal.write("all %d telnet sessions are in use: try again later\n" % SESSIONS)
            else:
                await self._serve(terminal)
        except HalError:
            pass  # the connection broke: nobody is there to be told
        finally:
            self._sessions -= 1
            await connection.close()
