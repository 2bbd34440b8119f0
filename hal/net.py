"""Interface of the network listener and its connections (plain TCP for telnet, TLS 1.3 for agents)."""


class Connection:
    """`peer` is "address:port". One reader task and one writer task at most."""

    peer = ""

    async def readinto(self, buffer, timeout_ms: int) -> None:
        """Fill the whole of `buffer`. Raises EOFError when the peer closed, Timeout, BusError (reset, TLS alert)."""
        raise NotImplementedError

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        """1 to `limit` bytes; b"" when the peer closed. timeout_ms 0 waits without bound. Raises Timeout, BusError."""
        raise NotImplementedError

    async def write(self, data, timeout_ms: int) -> None:
        """All of `data` handed to the kernel. Raises Timeout, BusError."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Listener:
    """`address` is the bound (host, port)."""

    address = ("", 0)

    async def accept(self) -> Connection:
        """Next connection, handshake not yet done for TLS: `Connection.handshake` does it in the caller's task.

        Never spins: on EMFILE and the like it pauses and goes on.
        """
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Datagrams:
    """UDP on the LAN interface before and after it has an address (RFC 2131 needs both). Used by the DHCP client."""

    def send(self, data: bytes, address: str = "255.255.255.255") -> None:
        """One datagram to the peer port. Raises BusError when the kernel refuses it (no link, no route)."""
        raise NotImplementedError

    async def receive(self, limit: int, timeout_ms: int) -> bytes:
        """The next datagram, cut to `limit` bytes. Raises Timeout."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
