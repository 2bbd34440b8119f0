"""TCP and TLS 1.3 listeners on sockets. Built by the boards: TCP for telnet, TLS for agents.

A stream is read or written until it would block, then the task waits on the raw socket. asyncio's own streams poll a TLS
socket every millisecond.
"""

import socket
import struct

from hal.errors import BusError, Timeout
from hal.linux.libc import libc
from hal.linux.openssl import WANT_READ, WANT_WRITE, ServerContext
from hal.loop import MICROPYTHON, now_ms, readable, sleep_ms, writable
from hal.net import Connection, Listener

_BACKLOG = 64
_ACCEPT_PAUSE_MS = 100  # after EMFILE and the like, which last until something is closed
_TURN_MS = 4  # a peer that always has data ready may not keep the loop longer
_PIECE_BYTES = 256 << 10
_SHUT_RDWR = 2

_IPPROTO_TCP = 6
# (level, option, value) of every connection, linux/tcp.h: a dead peer is noticed after 2 minutes.
_OPTIONS = (
    (_IPPROTO_TCP, 1, 1),  # TCP_NODELAY
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (_IPPROTO_TCP, 4, 60),  # TCP_KEEPIDLE s
    (_IPPROTO_TCP, 5, 10),  # TCP_KEEPINTVL s
    (_IPPROTO_TCP, 6, 6),  # TCP_KEEPCNT
)


class PlainStream:
    """A connected non-blocking socket with the calls of `openssl.Stream`."""

    def __init__(self, connected):
        self.wants = WANT_READ
        self._socket = connected

    def read(self, view):
        """Bytes received, 0 at the end, None if it would block. Raises OSError."""
        self.wants = WANT_READ
        return self._receive(view)

    def write(self, view):
        """Bytes sent, None if it would block. Raises OSError."""
        self.wants = WANT_WRITE
        return self._send(view)

    if MICROPYTHON:

        def _receive(self, view):
            return self._socket.readinto(view)

        def _send(self, view):
            return self._socket.write(view)

    else:

        def _receive(self, view):
            try:
                return self._socket.recv_into(view)
            except BlockingIOError:
                return None

        def _send(self, view):
            try:
                return self._socket.send(view)
            except BlockingIOError:
                return None

    def close(self) -> None:
        """The socket is closed by its owner."""


if MICROPYTHON:

    def _peer(address) -> str:
        family, raw, port = socket.sockaddr(address)[:3]
        return "%s:%d" % (socket.inet_ntop(family, raw), port)

else:

    def _peer(address) -> str:
        return "%s:%d" % address[:2]


class _Waiter:
    """Bounded waits on one descriptor, and closing it without leaving a waiter behind."""

    def __init__(self, fd: int, name: str):
        self.fd = fd
        self.name = name
        self.is_closed = False
        self._waiting = 0

    async def wait(self, ready, deadline: int) -> None:
        """Until `ready` (readable or writable). `deadline` is in now_ms, 0 for none."""
        left = deadline - now_ms() if deadline else 0
        if deadline and left <= 0:
            raise Timeout("%s: no progress in time" % self.name)
        self._waiting += 1
        try:
            await ready(self.fd, left)
        finally:
            self._waiting -= 1
        self.check()

    def check(self) -> None:
        if self.is_closed:
            raise BusError("%s: the connection is closed" % self.name)

    async def close(self) -> bool:
        """Wake whoever waits, and await that he left. False if it was closed before."""
        if self.is_closed:
            return False
        self.is_closed = True
        while self._waiting:
            libc.shutdown(self.fd, _SHUT_RDWR)
            await sleep_ms(1)
        return True


class TcpConnection(Connection):
    """`stream` moves the bytes (PlainStream, openssl.Stream) over the socket `accepted`."""

    def __init__(self, stream, accepted, peer: str):
        self.peer = peer
        self._stream = stream
        self._socket = accepted
        self._waiter = _Waiter(accepted.fileno(), peer)
        self._turn = now_ms()

    async def handshake(self, timeout_ms: int) -> None:
        """Nothing to agree on."""

    async def _share(self) -> None:
        """Let others run if this task has not waited for long."""
        now = now_ms()
        if now - self._turn > _TURN_MS:
            await sleep_ms(0)
            self._turn = now_ms()
            self._waiter.check()

    async def _move(self, move, view, deadline: int) -> int:
        """What `move(view)` gives once it does not block. Raises BusError, Timeout."""
        await self._share()
        while True:
            self._waiter.check()
            try:
                count = move(view)
            except OSError as error:
                raise BusError("%s: %s" % (self.peer, error))
            if count is not None:
                return count
            await self._waiter.wait(writable if self._stream.wants == WANT_WRITE else readable, deadline)
            self._turn = now_ms()

    def _pull(self, view):
        """As many bytes as there are, one TLS record after the other: a task switch for each costs more than the record."""
        done, end = 0, len(view)
        read = self._stream.read
        while done < end:
            count = read(view[done:])
            if not count:
                return done or count
            done += count
        return done

    async def readinto(self, buffer, timeout_ms: int) -> None:
        view = memoryview(buffer)
        deadline = now_ms() + timeout_ms if timeout_ms else 0
        done = 0
        end = len(view)
        while done < end:
            count = await self._move(self._pull, view[done : min(end, done + _PIECE_BYTES)], deadline)
            if not count:
                raise EOFError("%s closed the connection" % self.peer)
            done += count

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        buffer = bytearray(limit)
        count = await self._move(self._stream.read, buffer, now_ms() + timeout_ms if timeout_ms else 0)
        return bytes(memoryview(buffer)[:count])

    async def write(self, data, timeout_ms: int) -> None:
        rest = memoryview(data)
        deadline = now_ms() + timeout_ms if timeout_ms else 0
        while len(rest):
            rest = rest[await self._move(self._stream.write, rest[:_PIECE_BYTES], deadline) :]

    async def close(self) -> None:
        if await self._waiter.close():
            self._stream.close()
            self._socket.close()


class TlsConnection(TcpConnection):
    """TLS server side."""

    async def handshake(self, timeout_ms: int) -> None:
        """Agree on keys. Raises Timeout, EOFError, BusError (refused, TLS alert)."""
        if not await self._move(self._agree, None, now_ms() + timeout_ms):
            raise EOFError("%s closed the connection in the handshake" % self.peer)

    def _agree(self, _):
        return self._stream.handshake()


def _bound_address(fd: int, host: str) -> tuple:
    name, length = bytearray(28), bytearray(struct.pack("<I", 28))
    libc.getsockname(fd, name, length)
    return host, struct.unpack_from(">H", name, 2)[0]


class TcpListener(Listener):
    """Raises BusError if the port is taken. Port 0 takes a free one, see `address`."""

    def __init__(self, host: str, port: int):
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(socket.getaddrinfo(host, port)[0][-1])
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise BusError("cannot listen on %s:%d: %s; is the port taken?" % (host, port, error))
        self._socket.setblocking(False)
        self.address = _bound_address(self._socket.fileno(), host)
        self._waiter = _Waiter(self._socket.fileno(), "listener on %s:%d" % self.address)

    async def accept(self) -> Connection:
        while True:
            await self._waiter.wait(readable, 0)
            try:
                accepted, address = self._socket.accept()
            except OSError:
                await sleep_ms(_ACCEPT_PAUSE_MS)
                continue
            try:
                return self._connection(accepted, _peer(address))
            except (OSError, MemoryError):
                accepted.close()
                await sleep_ms(_ACCEPT_PAUSE_MS)

    def _connection(self, accepted, peer: str) -> Connection:
        accepted.setblocking(False)
        for level, option, value in _OPTIONS:
            accepted.setsockopt(level, option, value)
        return self._wrap(accepted, peer)

    def _wrap(self, accepted, peer: str) -> Connection:
        return TcpConnection(PlainStream(accepted), accepted, peer)

    async def close(self) -> None:
        if await self._waiter.close():
            self._socket.close()


class TlsListener(TcpListener):
    """`certificate` and `key` in DER; both are checked here. Raises BusError."""

    def __init__(self, host: str, port: int, certificate: bytes, key: bytes):
        self._context = ServerContext(certificate, key)
        super().__init__(host, port)

    def _wrap(self, accepted, peer: str) -> Connection:
        return TlsConnection(self._context.stream(accepted.fileno()), accepted, peer)
