"""All consoles of the appliance: a session on every serial line, and the telnet server. Made by the appliance."""

import asyncio

from firmware.console.commands import registry
from firmware.console.login import Brake
from firmware.console.session import Hangup, Session
from firmware.console.telnet import TelnetServer
from firmware.console.terminal import SerialTerminal
from hal.errors import HalError, Timeout
from hal.loop import sleep_ms

_HANGUP_MS = 1000  # before a line that hung up is looked at again
_NOTICES = 200  # waiting for slow lines; more are dropped


class Consoles:
    """`telnet` is the firmware.console.telnet.TelnetServer."""

    def __init__(self, appliance):
        self._appliance = appliance
        self._registry = registry()
        self._brake = Brake()
        self._terminals = [SerialTerminal(serial) for serial in appliance.machine.serials]
        self._sessions = {}
        self._notices = []
        self._noticed = asyncio.Event()
        self.telnet = TelnetServer(appliance, self._remote)

    def start(self) -> None:
        """Serve in tasks of their own."""
        spawn = self._appliance.supervisor.spawn
        for terminal in self._terminals:
            spawn("console " + terminal.peer, lambda t=terminal: self._line(t), restart=True)
        spawn("console notices", self._show_notices, restart=True)
        spawn("telnet", self.telnet.run, restart=True)

    async def announce(self, line: str) -> None:
        """A line on every serial line, now, and on standard output where that is kept."""
        if self._appliance.machine.keeps_stdout or not self._terminals:
            print(line)
        await self._tell_serials(line)

    async def _tell_serials(self, line: str) -> None:
        for terminal in self._terminals:
            try:
                await self._tell(terminal, line)
            except (HalError, Hangup):
                pass  # nobody is there

    def notice(self, line: str) -> None:
        """A line on every serial line, soon."""
        if len(self._notices) < _NOTICES:
            self._notices.append(line)
            self._noticed.set()

    async def _tell(self, terminal, line: str) -> None:
        session = self._sessions.get(terminal)
        if session:
            await session.notice(line)
        else:
            await terminal.write("\r" + line + "\n")

    async def _show_notices(self) -> None:
        while True:
            self._noticed.clear()
            while self._notices:
                await self._tell_serials(self._notices.pop(0))
            await self._noticed.wait()

    async def _line(self, terminal) -> None:
        """A serial line: after each session comes the next login prompt."""
        while True:
            session = self._session(terminal)
            self._sessions[terminal] = session
            try:
                await session.run()
            except Hangup:
                await sleep_ms(_HANGUP_MS)
            finally:
                del self._sessions[terminal]

    async def _remote(self, terminal) -> None:
        try:
            await self._session(terminal).run()
        except (Hangup, Timeout):
            pass

    def _session(self, terminal) -> Session:
        return Session(self._appliance, terminal, self._registry, self._brake)
