"""All consoles of the appliance: a session on every serial line, and the telnet server. Made by the appliance."""

from firmware.console.commands import registry
from firmware.console.session import Hangup, Session
from firmware.console.telnet import TelnetServer
from firmware.console.terminal import SerialTerminal
from firmware.core.brake import Brake
from hal.errors import HalError, Timeout
from hal.loop import sleep_ms

_HANGUP_MS = 1000  # before a line that hung up is looked at again
_NOTICE_MS = 1000
_QUIET_MS = 5000  # log lines do not come between a command and its answer


class Consoles:
    """`telnet` is the firmware.console.telnet.TelnetServer."""

    def __init__(self, appliance):
        self._appliance = appliance
        self._registry = registry()
        self._brake = Brake()
        self._terminals = [SerialTerminal(serial) for serial in appliance.machine.serials]
        self._sessions = {}
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
        for terminal in self._terminals:
            session = self._sessions.get(terminal)
            try:
                if session:
                    await session.say(line)
                else:
                    await terminal.write("\r" + line + "\n")
            except (HalError, Hangup):
                pass  # nobody is there

    def notice(self, line: str) -> None:
        """A line on every serial line, soon: at a prompt where somebody works it waits until he pauses."""
        for session in self._sessions.values():
            session.notice(line)

    async def _show_notices(self) -> None:
        while True:
            await sleep_ms(_NOTICE_MS)
            for session in list(self._sessions.values()):
                try:
                    await session.show_notices(_QUIET_MS if session.role else _NOTICE_MS)
                except Hangup:
                    pass  # nobody is there

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
