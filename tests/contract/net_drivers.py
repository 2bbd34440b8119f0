"""Listeners of hal.linux.net with a client for each; the client is the same connection class over a connecting socket."""

import socket

from hal.linux.identity import make_identity
from hal.linux.net import TcpConnection, TcpListener, TlsListener
from hal.loop import MICROPYTHON

_IDENTITY = []  # made once: (certificate, key)


def _connected(address) -> object:
    raw = socket.socket()
    raw.connect(socket.getaddrinfo(address[0], address[1])[0][-1])
    raw.setblocking(False)
    return raw


def _tls_client(raw):
    if MICROPYTHON:
        import tls

        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
    else:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(raw, do_handshake_on_connect=False)


async def tcp(case) -> None:
    async def listen(port: int):
        return TcpListener("127.0.0.1", port)

    async def connect(address):
        raw = _connected(address)
        return TcpConnection(raw, raw, "server")

    await case(listen, connect)


async def tls(case) -> None:
    if not _IDENTITY:
        _IDENTITY.append(make_identity("contract"))

    async def listen(port: int):
        return TlsListener("127.0.0.1", port, *_IDENTITY[0])

    async def connect(address):
        raw = _connected(address)
        stream = _tls_client(raw)
        return TcpConnection(stream, raw if MICROPYTHON else stream, "server")

    await case(listen, connect)
