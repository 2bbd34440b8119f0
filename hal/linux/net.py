"""TCP and TLS 1.3 listeners on sockets. Built by the boards: TCP for telnet, TLS for agents.

A stream is read or written until it would block, then the task waits on the raw socket. asyncio's own streams poll a TLS
socket every millisecond. TLS is mbedTLS through MicroPython's `tls`; on CPython it is OpenSSL, for tests.
"""

import socket
import struct

from hal.errors import BusError, Timeout
from hal.linux.libc import libc
from hal.loop import MICROPYTHON, now_ms, readable, sleep_ms, writable
from hal.net import Connection, Listener

_BACKLOG = 64
_ACCEPT_PAUSE_MS = 100  # after EMFILE and the like, which last until something is closed
_HANDSHAKE_POLL_MS = 50
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

if MICROPYTHON:
    import tls

    # Naming only TLS 1.3 suites is what refuses older versions. mbedTLS takes the client's first that is listed: ChaCha20 is its
    # fastest (measured 260 MB/s of CPU time against 190 for AES-GCM with AES instructions), the other is the mandatory
    # one (RFC 8446 9.1) for clients without it. OpenSSL clients prefer AES-256: it is left out.
    _SUITES = ["TLS1-3-CHACHA20-POLY1305-SHA256", "TLS1-3-AES-128-GCM-SHA256"]
    _TLS_EOF = -0x7280  # MBEDTLS_ERR_SSL_CONN_EOF: closed without a close_notify

    def _tls_context(certificate: bytes, key: bytes):
        context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_ciphers(_SUITES)
        return context

    def _receive(stream, view):
        """Bytes received, 0 at the end, None if it would block."""
        try:
            return stream.readinto(view)
        except OSError as error:
            if error.errno == _TLS_EOF:
                return 0
            raise

    def _send(stream, view):
        """Bytes sent, None if it would block. TLS: to be repeated with the same bytes then."""
        return stream.write(view)

    def _peer(address) -> str:
        family, raw, port = socket.sockaddr(address)[:3]
        return "%s:%d" % (socket.inet_ntop(family, raw), port)

else:
    import base64
    import os
    import ssl
    import tempfile

    _WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

    def _tls_context(certificate: bytes, key: bytes):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Python's ssl reads keys from files only. RFC 5915 keys have version 1, PKCS #8 ones version 0.
        label = "EC PRIVATE KEY" if b"\x02\x01\x01" in key[:7] else "PRIVATE KEY"
        with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
            file.write("-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(key).decode(), label))
            file.write(ssl.DER_cert_to_PEM_cert(certificate))
        try:
            context.load_cert_chain(file.name)
        finally:
            os.unlink(file.name)
        return context

    def _receive(stream, view):
        """Bytes received, 0 at the end, None if it would block."""
        try:
            return stream.recv_into(view)
        except _WOULD_BLOCK:
            return None
        except ssl.SSLEOFError:
            return 0

    def _send(stream, view):
        """Bytes sent, None if it would block. TLS: to be repeated with the same bytes then."""
        try:
            return stream.send(view)
        except _WOULD_BLOCK:
            return None

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

    async def _move(self, move, view, ready, deadline: int) -> int:
        """`move` (_receive or _send) once it does not block; gives what it gave. Raises BusError, Timeout."""
        await self._share()
        while True:
            self._waiter.check()
            try:
                count = move(self._stream, view)
            except OSError as error:
                raise BusError("%s: %s" % (self.peer, error))
            if count is not None:
                return count
            await self._waiter.wait(ready, deadline)
            self._turn = now_ms()

    async def readinto(self, buffer, timeout_ms: int) -> None:
        view = memoryview(buffer)
        deadline = now_ms() + timeout_ms if timeout_ms else 0
        done = 0
        end = len(view)
        while done < end:
            count = await self._move(_receive, view[done : min(end, done + _PIECE_BYTES)], readable, deadline)
            if not count:
                raise EOFError("%s closed the connection" % self.peer)
            done += count

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        buffer = bytearray(limit)
        count = await self._move(_receive, buffer, readable, now_ms() + timeout_ms if timeout_ms else 0)
        return bytes(memoryview(buffer)[:count])

    async def write(self, data, timeout_ms: int) -> None:
        rest = memoryview(data)
        deadline = now_ms() + timeout_ms if timeout_ms else 0
        while len(rest):
            rest = rest[await self._move(_send, rest[:_PIECE_BYTES], writable, deadline) :]

    async def close(self) -> None:
        if not await self._waiter.close():
            return
        try:
            self._stream.close()
        except OSError:
            pass  # the peer was faster
        # After a TLS error MicroPython's stream leaves the descriptor open. Otherwise this is a second close of a number
        # that nobody can have taken in between.
        self._socket.close()


class TlsConnection(TcpConnection):
    """TLS server side. The peer speaks first: mbedTLS ends its handshake inside the first read, whose byte is kept."""

    _first = b""

    async def handshake(self, timeout_ms: int) -> None:
        """Agree on keys and await the peer's first byte. Raises Timeout, EOFError, BusError (refused, TLS alert)."""
        deadline = now_ms() + timeout_ms
        first = bytearray(1)
        while True:
            # Bounded steps: in a handshake a read may have to wait until the socket can be written.
            try:
                count = await self._move(_receive, first, readable, min(deadline, now_ms() + _HANDSHAKE_POLL_MS))
            except Timeout:
                if now_ms() >= deadline:
                    raise
                continue
            if not count:
                raise EOFError("%s closed the connection in the handshake" % self.peer)
            self._first = first
            return

    async def readinto(self, buffer, timeout_ms: int) -> None:
        view = memoryview(buffer)
        if self._first and len(view):
            view[:1] = self._first
            self._first = b""
            view = view[1:]
        await super().readinto(view, timeout_ms)

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        if self._first:
            first, self._first = bytes(self._first), b""
            return first
        return await super().read(limit, timeout_ms)


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
        return TcpConnection(accepted, accepted, peer)

    async def close(self) -> None:
        if await self._waiter.close():
            self._socket.close()


class TlsListener(TcpListener):
    """`certificate` and `key` in DER; the key and the suites are checked once, here."""

    def __init__(self, host: str, port: int, certificate: bytes, key: bytes):
        self._context = _tls_context(certificate, key)
        super().__init__(host, port)

    def _wrap(self, accepted, peer: str) -> Connection:
        stream = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        # CPython moves the descriptor into the new object, MicroPython leaves it in the old one.
        return TlsConnection(stream, accepted if MICROPYTHON else stream, peer)
