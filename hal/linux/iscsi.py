"""SCSI over iSCSI by libiscsi, asynchronously: `hal.scsi.ScsiTransport` for a URL. Used by the host board and the tests.

Ref: RFC 7143. libiscsi's automatic reconnect sends commands again that the target may have executed already, which writes a
block twice on a tape: it is switched off, a lost connection is a BusError, and the next command logs in anew.
"""

import asyncio

from hal import loop
from hal.errors import BusError, NotReady, Timeout
from hal.linux import libiscsi as lib
from hal.linux.libc import EAGAIN, EINTR, libc
from hal.linux.libiscsi import iscsi
from hal.native import callback, errno
from hal.scsi import ScsiResult, ScsiTransport

_INITIATOR = "iqn.2024-01.net.bobbin:appliance"
_LOGIN_MS = 10000  # istgt sleeps a second in every login
_LOGOUT_MS = 1000
_POLLIN, _POLLOUT = 1, 4
_PEEK = 0x42  # MSG_PEEK, MSG_DONTWAIT


class _Reply:
    """What libiscsi's callback leaves for whoever waits."""

    def __init__(self):
        self.event = asyncio.Event()
        self.status = None


_waiting = {}  # number passed through C as private_data: _Reply
_numbers = [0]


def _on_reply(context, status, command_data, number) -> None:
    reply = _waiting.pop(number, None)
    if reply:
        reply.status = status & 0xFFFFFFFF
        reply.event.set()


_reply_pointer = callback("v", _on_reply, "pipp")


def _expect() -> tuple:
    _numbers[0] += 1
    reply = _waiting[_numbers[0]] = _Reply()
    return reply, _numbers[0]


class _Session:
    """One login. Dead after its first failure; `end` releases it. `context` is libiscsi's."""

    def __init__(self, name: str, url: str):
        self.name = name
        self.dead = None  # why
        self._tasks = []
        self._kick = asyncio.Event()
        self.context = iscsi.iscsi_create_context(_INITIATOR)
        iscsi.iscsi_set_noautoreconnect(self.context, 1)
        parsed = iscsi.iscsi_parse_full_url(self.context, url)
        if not parsed:
            why = self.why()
            self.end()
            raise NotReady("%s: not an iSCSI URL: %s" % (name, why))
        self.lun = lib.url_lun(parsed)
        self._portal = lib.text(parsed + lib.URL_PORTAL)
        iscsi.iscsi_set_targetname(self.context, parsed + lib.URL_TARGET)
        if lib.text(parsed + lib.URL_USER):
            iscsi.iscsi_set_initiator_username_pwd(self.context, parsed + lib.URL_USER, parsed + lib.URL_PASSWORD)
        iscsi.iscsi_destroy_url(parsed)
        iscsi.iscsi_set_session_type(self.context, lib.SESSION_NORMAL)

    def why(self) -> str:
        return lib.text(iscsi.iscsi_get_error(self.context)) if self.context else "closed"

    async def login(self) -> None:
        """Connect and log in. Raises NotReady, Timeout. Without a LUN libiscsi sends no TEST UNIT READY of its own, which would
        swallow the unit attentions."""
        reply, number = _expect()
        portal = (self._portal + "\0").encode()
        if iscsi.iscsi_full_connect_async(self.context, portal, -1, _reply_pointer, number) != 0:
            raise NotReady("%s: %s" % (self.name, self.why()))
        self._fd = iscsi.iscsi_get_fd(self.context)
        await loop.wait_ms(self._connect(reply), _LOGIN_MS)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    async def _connect(self, reply) -> None:
        while not reply.event.is_set():
            if iscsi.iscsi_which_events(self.context) & _POLLOUT:
                await loop.writable(self._fd)
                self._service(_POLLOUT)
            else:
                await loop.readable(self._fd)
                self._service_input()
            if self.dead:
                break
        if self.dead or reply.status:
            raise NotReady("%s: cannot log in: %s" % (self.name, self.dead or self.why()))

    async def logout(self) -> None:
        """Say goodbye, so that the target forgets the session now and not at a timeout."""
        if self.dead:
            return
        reply, number = _expect()
        try:
            if iscsi.iscsi_logout_async(self.context, _reply_pointer, number) == 0:
                self.push()
                await loop.wait_ms(reply.event.wait(), _LOGOUT_MS)
        except Timeout:
            pass
        finally:
            _waiting.pop(number, None)

    def _service(self, events: int) -> None:
        if not self.dead and iscsi.iscsi_service(self.context, events) != 0:
            self.dead = self.why()

    def _service_input(self) -> None:
        """libiscsi hides the end of a connection behind its deferred reconnect: look before it does."""
        if self.dead:
            return
        count = libc.recv(self._fd, bytearray(1), 1, _PEEK)
        if count == 0 or (count < 0 and errno() not in (EAGAIN, EINTR)):
            self.dead = "the target closed the connection"
        elif count > 0:
            self._service(_POLLIN)

    async def _read(self) -> None:
        while not self.dead:
            await loop.readable(self._fd)
            self._service_input()
            self.push()
        self._fail()

    async def _write(self) -> None:
        while not self.dead:
            await self._kick.wait()
            self._kick.clear()
            while not self.dead and iscsi.iscsi_which_events(self.context) & _POLLOUT:
                await loop.writable(self._fd)
                self._service(_POLLOUT)
        self._fail()

    def push(self) -> None:
        """Send what is queued, as far as the socket takes it now; the rest when it is writable."""
        if not self.dead and iscsi.iscsi_which_events(self.context) & _POLLOUT:
            self._service(_POLLOUT)
            if not self.dead and iscsi.iscsi_which_events(self.context) & _POLLOUT:
                self._kick.set()
        if self.dead:
            self._fail()

    def _fail(self) -> None:
        """Cancel everything under way: their callbacks come before this returns."""
        if self.context:
            context, self.context = self.context, None
            iscsi.iscsi_destroy_context(context)

    def end(self) -> None:
        self.dead = self.dead or "closed"
        for task in self._tasks:
            task.cancel()
        self._fail()


class IscsiTransport(ScsiTransport):
    """The logical unit at `url`: iscsi://[USER%PASSWORD@]HOST[:PORT]/TARGET/LUN. Logs in with the first command.

    After BusError or Timeout the session is gone, and with it every command under way; the next command logs in anew.
    """

    # A Linux target that hands commands to an adapter of 128 pages refuses more as "not ready, 08/00", and nothing tells before.
    max_transfer_bytes = 1 << 19

    def __init__(self, url: str):
        self.name = url
        self._url = url
        self._session = None
        self._login = asyncio.Lock()
        self._closed = False

    async def execute(self, cdb: bytes, data_out=None, data_in=None, timeout_ms: int = 30000) -> ScsiResult:
        session = await self._connected()
        length = len(data_out if data_out is not None else data_in if data_in is not None else b"")
        direction = lib.XFER_WRITE if data_out is not None else lib.XFER_READ if data_in is not None else lib.XFER_NONE
        task = iscsi.scsi_create_task(len(cdb), bytes(cdb), direction, length)
        try:
            if data_out is not None:
                iscsi.scsi_task_add_data_out_buffer(task, length, data_out)
            elif data_in is not None:
                iscsi.scsi_task_add_data_in_buffer(task, length, data_in)
            status = await self._run(session, task, timeout_ms)
            return ScsiResult(status, lib.sense(task) if status == 2 else b"", lib.residual(task))
        finally:
            iscsi.scsi_free_scsi_task(task)

    async def _run(self, session, task: int, timeout_ms: int) -> int:
        """SAM status of the task. On any other end the session is over: libiscsi must not keep the caller's buffers."""
        reply, number = _expect()
        try:
            if iscsi.iscsi_scsi_command_async(session.context, session.lun, task, _reply_pointer, None, number) != 0:
                raise BusError("%s: cannot send: %s" % (self.name, session.why()))
            session.push()
            await loop.wait_ms(reply.event.wait(), timeout_ms)
        except BaseException as error:
            self._drop(session)
            if isinstance(error, Timeout):
                raise Timeout("%s: no answer within %d ms; the session was dropped" % (self.name, timeout_ms))
            raise
        finally:
            _waiting.pop(number, None)
        if reply.status >= lib.STATUS_CANCELLED:
            why = session.dead or session.why()
            self._drop(session)
            raise BusError("%s: the command did not come back: %s" % (self.name, why))
        return reply.status

    async def _connected(self):
        async with self._login:
            if self._closed:
                raise BusError("%s: closed" % self.name)
            if self._session is None or self._session.dead:
                self._drop(self._session)
                await self._open()
            return self._session

    async def _open(self) -> None:
        session = _Session(self.name, self._url)
        try:
            await session.login()
        except BaseException:
            session.end()
            raise
        self._session = session

    def _drop(self, session) -> None:
        if session:
            session.end()
        if session is self._session:
            self._session = None

    async def close(self) -> None:
        self._closed = True
        if self._session:
            await self._session.logout()
        self._drop(self._session)
