"""Connects to the appliance by TLS 1.3 and checks that it is the right one. Called by agent_pc/session.py and agent_pc/pair.py."""

import hmac
import socket
import ssl

from agent_pc.exits import AgentError, Cut

CONNECT_S = 10

# An appliance that lost its power is noticed after two minutes.
_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The certificate is pinned byte for byte: names and dates in it decide nothing, and an appliance without a clock battery
    # must stay reachable. The handshake still proves that the other end holds the certificate's key.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(host: str, port: int, timeout_s: float = CONNECT_S) -> ssl.SSLSocket:
    """A connection to whoever answers there. Raises Cut if nobody does or it speaks no TLS 1.3."""
    where = f"{host}:{port}"
    try:
        # A name in bytes is taken as it is; for text Python loads the tables of international names first.
        name = host.encode() if host.isascii() else host
        raw = socket.create_connection((name, port), timeout=timeout_s)  # type: ignore[arg-type]
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise Cut(f"appliance {where}: cannot connect: {reason}; check that it is on and the address is right") from None
    try:
        for level, option, value in _OPTIONS:
            raw.setsockopt(level, option, value)
        return _context().wrap_socket(raw)
    except (OSError, ssl.SSLError) as error:
        raw.close()
        raise Cut(f"appliance {where}: expected TLS 1.3, got {error}") from None


def certificate(connection: ssl.SSLSocket, where: str) -> bytes:
    """The other end's certificate, DER. Raises Cut."""
    try:
        return connection.getpeercert(binary_form=True) or b""
    except OSError as error:  # it asks the socket, and that may be gone already
        connection.close()
        raise Cut(f"appliance {where}: connection lost: {error}") from None


def check(connection: ssl.SSLSocket, expected: bytes, where: str) -> None:
    """Raises AgentError(CERTIFICATE) unless the other end showed exactly `expected`; call before anything is sent."""
    if not hmac.compare_digest(certificate(connection, where), expected):
        connection.close()
        raise AgentError(
            "CERTIFICATE",
            f"appliance {where}: expected the certificate pinned at pairing, got another one; nothing was sent. "
            "If the appliance was replaced or reset, pair again; otherwise somebody is in between",
        )
