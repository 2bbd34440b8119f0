"""A person (or a script) at a terminal: login, then commands until exit, idleness or hangup. Started by the appliance.

Bytes come through `firmware.console.terminal` or `telnet`; what can be typed is the table in `firmware.console.commands`.
"""

import json

from firmware.console import login
from firmware.console.editor import Editor, History, Keys
from firmware.console.registry import ADMIN, Usage
from firmware.core.settings import Invalid
from firmware.formats.refusal import Refusal
from firmware.version import VERSION
from hal.errors import HalError, Timeout
from hal.loop import now_ms, sleep_ms

PROMPT = "bobbin> "
_READ_BYTES = 256
_AHEAD_BYTES = 1024  # typed while a command runs; more is dropped
_NOTICES = 200
_MINUTE_MS = 60000
_LOGIN_MS = 60000  # for a remote peer to log in, for anybody to type the password
_EXPECTED = (Usage, Invalid, Refusal, HalError)


class Hangup(Exception):
    """The line or the connection is gone."""


class Cancelled(Exception):
    """The person answered ^C or no."""


class Session:
    """`registry` is the firmware.console.registry.Registry, `brake` the firmware.core.brake.Brake of all sessions."""

    def __init__(self, appliance, terminal, registry, brake):
        self.appliance = appliance
        self.registry = registry
        self.wants_json = False
        self.role = None
        self._terminal = terminal
        self._brake = brake
        self._keys = Keys()
        self._pending = b""
        self._editor = None
        self._active_ms = 0
        self._notices = []
        self._history = History()

    async def run(self) -> None:
        """Log in, serve commands, log out. Raises Hangup; Timeout if nobody logged in at a remote terminal."""
        try:
            await self._log_in()
            self.role = ADMIN
            await self._serve()
        finally:
            self.role = None

    async def write(self, text: str) -> None:
        """Raises Hangup."""
        try:
            await self._terminal.write(text)
        except HalError:
            raise Hangup()

    async def write_lines(self, lines: list) -> None:
        await self.write("".join([line + "\n" for line in lines]))

    def notice(self, line: str) -> None:
        """A line that comes by itself: shown before the next prompt, or by `show_notices`. Beyond a bound they are dropped."""
        if len(self._notices) < _NOTICES:
            self._notices.append(line)

    async def show_notices(self, quiet_ms: int) -> None:
        """Show them now if nothing happened at the prompt for so long; what is being typed is drawn again below them."""
        if self._notices and self._editor and now_ms() - self._active_ms >= quiet_ms:
            await self._interject(self._take_notices())

    async def say(self, line: str) -> None:
        """A line that must be seen now, whatever is going on."""
        await self._interject(self._take_notices() + line + "\n")

    async def _interject(self, text: str) -> None:
        editor = self._editor
        await self.write(editor.erase() + text + editor.start() if editor else "\r" + text)

    def _take_notices(self) -> str:
        lines, self._notices = self._notices, []
        return "".join([line + "\n" for line in lines])

    async def key(self, timeout_ms: int = 0):
        """Next key. Raises Timeout, Hangup."""
        while True:
            while self._pending:
                byte, self._pending = self._pending[0], self._pending[1:]
                key = self._keys.feed(byte)
                if key:
                    return key
            self._pending = await self._read(timeout_ms)

    async def interrupted(self, timeout_ms: int) -> bool:
        """Wait so long for ^C; other keys are kept for the next prompt. Raises Hangup."""
        try:
            data = await self._read(timeout_ms)
        except Timeout:
            return False
        if b"\x03" in data:
            self._pending = b""
            return True
        self._pending = (self._pending + data)[:_AHEAD_BYTES]
        return False

    async def ask(self, prompt: str, secret: bool = False, timeout_ms: int = 0) -> str:
        """A line typed after `prompt`. Raises Cancelled after ^C or ^D, Timeout, Hangup."""
        line = await self._edit(Editor(prompt, self._terminal.columns - 1, secret=secret), timeout_ms)
        if line is None:
            raise Cancelled()
        return line

    async def confirm(self, question: str) -> None:
        """Returns after y. Raises Cancelled after anything else."""
        if (await self.ask(question + " (y/n) ")).strip().lower() not in ("y", "yes"):
            raise Cancelled()

    async def _read(self, timeout_ms: int) -> bytes:
        try:
            data = await self._terminal.read(_READ_BYTES, timeout_ms)
        except Timeout:
            raise
        except HalError:
            raise Hangup()
        if not data:
            raise Hangup()
        return data

    async def _edit(self, editor: Editor, timeout_ms: int):
        """What was typed; None after ^C or, on an empty line, ^D."""
        await self.write(self._take_notices() + editor.start())
        self._editor = editor
        self._active_ms = now_ms()
        try:
            while not editor.done:
                shown = editor.feed(await self.key(timeout_ms))
                self._active_ms = now_ms()
                # What came in one piece is echoed in one piece.
                while self._pending and not editor.done:
                    byte, self._pending = self._pending[0], self._pending[1:]
                    key = self._keys.feed(byte)
                    shown += editor.feed(key) if key else ""
                await self.write(shown)
        finally:
            self._editor = None
        return None if editor.eof else editor.line

    async def _log_in(self) -> None:
        name = self.appliance.config.get("appliance.name")
        await self.write("\nBobbin %s, %s\n" % (VERSION, name))
        while True:
            try:
                user = await self.ask("login: ", timeout_ms=_LOGIN_MS if self._terminal.remote else 0)
                if not user:
                    continue
                password = await self.ask("Password: ", secret=True, timeout_ms=_LOGIN_MS)
                if await self.admitted(user, password):
                    return
                await self.write("login incorrect\n")
            except Cancelled:
                if self._terminal.remote:
                    raise Hangup()
            except Timeout:
                if self._terminal.remote:
                    raise
                await self.write("\n")

    async def admitted(self, user: str, password: str) -> bool:
        """Looks at the attempt once the brake allows it, and not at two attempts of one peer at a time."""
        peer, log = self._terminal.peer, self.appliance.log
        while self._brake.delay_ms(peer):
            await sleep_ms(self._brake.delay_ms(peer))
        if login.check(self.appliance.machine, self.appliance.config.get("console.password"), user, password):
            self._brake.succeeded(peer)
            log.info("console", "login on %s" % peer)
            return True
        self._brake.failed(peer)
        log.warning("console", "wrong password on %s" % peer)
        return False

    async def _serve(self) -> None:
        for warning in self.appliance.warnings():
            await self.write("warning: %s\n" % warning)
        while True:
            idle_ms = self.appliance.config.get("console.idle_minutes") * _MINUTE_MS
            editor = Editor(PROMPT, self._terminal.columns - 1, self._history, self._complete)
            try:
                line = await self._edit(editor, idle_ms)
            except Timeout:
                await self.write("\nlogged out: nothing was typed for %d minutes\n" % (idle_ms // _MINUTE_MS))
                return
            if editor.eof:
                return
            if line and line.strip():
                self._history.add(line)
                if not await self._command(line):
                    return

    def _complete(self, before_cursor: str):
        return self.registry.complete(before_cursor, self.appliance)

    async def _command(self, line: str) -> bool:
        """False after `exit`."""
        self.wants_json = line.rstrip().endswith(" --json")
        try:
            command, values, self.wants_json = self.registry.parse(line)
            if command.role == ADMIN and self.role != ADMIN:
                raise Usage("%s is for the administrator" % command.name)
            data = await command.handler(self, values)
        except Cancelled:
            await self._fail("CANCELLED", "nothing was done")
            return True
        except _EXPECTED as error:
            await self._fail(getattr(error, "name", type(error).__name__), str(error))
            return True
        except Hangup:
            raise
        except Exception as error:
            self.appliance.log.exception("console", error)
            await self._fail("INTERNAL", "the appliance failed; `show log` says more")
            return True
        if data is None:
            return False
        await self._show(command, data)
        return True

    async def _show(self, command, data: dict) -> None:
        if self.wants_json:
            await self.write(json.dumps(dict(data, ok=True)) + "\n")
        else:
            await self.write_lines(command.show(data))

    async def _fail(self, name: str, text: str) -> None:
        if self.wants_json:
            await self.write(json.dumps({"ok": False, "error": name, "text": text}) + "\n")
        else:
            await self.write("error: %s\n" % text)
