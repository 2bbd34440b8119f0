"""Listeners of hal.linux.net with a client for each; the client is the same connection class over a connecting socket."""

import socket

from hal.linux.identity import make_identity
from hal.linux.net import PlainStream, TcpConnection, TcpListener, TlsListener
from hal.linux.openssl import WANT_READ, WANT_WRITE
from hal.loop import MICROPYTHON

_IDENTITY = []  # made once: (certificate, key)


def _connected(address) -> object:
    raw = socket.socket()
    raw.connect(socket.getaddrinfo(address[0], address[1])[0][-1])
    raw.setblocking(False)
    return raw


class _Client:
    """TLS by the interpreter's own library, with the calls of PlainStream. It waits for either direction: a handshake needs both."""

    wants = WANT_READ

    def __init__(self, raw):
        if MICROPYTHON:
            import tls

            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.verify_mode = tls.CERT_NONE
            self._blocks, self._read, self._write = (), "readinto", "write"
        else:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._blocks, self._read, self._write = (ssl.SSLWantReadError, ssl.SSLWantWriteError), "recv_into", "send"
        self.socket = context.wrap_socket(raw, do_handshake_on_connect=False)

    def _call(self, name: str, view):
        try:
            return getattr(self.socket, name)(view)
        except self._blocks:
            return None

    def read(self, view):
        self.wants = WANT_READ
        return self._call(self._read, view)

    def write(self, view):
        self.wants = WANT_WRITE
        return self._call(self._write, view)

    def close(self) -> None:
        self.socket.close()


async def tcp(case) -> None:
    async def listen(port: int):
        return TcpListener("127.0.0.1", port)

    async def connect(address):
        raw = _connected(address)
        return TcpConnection(PlainStream(raw), raw, "server")

    await case(listen, connect)


async def tls(case) -> None:
    if not _IDENTITY:
        _IDENTITY.append(make_identity("contract"))

    async def listen(port: int):
        return TlsListener("127.0.0.1", port, *_IDENTITY[0])

    async def connect(address):
        raw = _connected(address)
        client = _Client(raw)
        return TcpConnection(client, raw if MICROPYTHON else client.socket, "server")

    await case(listen, connect)
