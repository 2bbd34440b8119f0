"""Two hal.net.Connections joined in memory, for tests under both interpreters."""

import asyncio

from hal.errors import BusError
from hal.loop import wait_ms
from hal.net import Connection


class _Half:
    """Bytes on their way in one direction."""

    def __init__(self):
        self.data = bytearray()
        self.closed = False
        self.changed = asyncio.Event()

    async def wait(self, enough: int) -> None:
        while len(self.data) < enough and not self.closed:
            self.changed.clear()
            await self.changed.wait()

    def take(self, count: int) -> bytes:
        taken = bytes(self.data[:count])
        self.data = self.data[count:]
        return taken


class PipeEnd(Connection):
    def __init__(self, peer: str, incoming: _Half, outgoing: _Half):
        self.peer = peer
        self._in = incoming
        self._out = outgoing

    async def handshake(self, timeout_ms: int) -> None:
        """Nothing to agree on."""

    async def readinto(self, buffer, timeout_ms: int) -> None:
        await wait_ms(self._in.wait(len(buffer)), timeout_ms)
        if len(self._in.data) < len(buffer):
            raise EOFError("the peer closed")
        buffer[:] = self._in.take(len(buffer))

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        await wait_ms(self._in.wait(1), timeout_ms)
        return self._in.take(limit)

    async def write(self, data, timeout_ms: int) -> None:
        if self._out.closed:
            raise BusError("the peer closed")
        self._out.data.extend(data)
        self._out.changed.set()

    async def close(self) -> None:
        for half in (self._in, self._out):
            half.closed = True
            half.changed.set()


def pipe(peer: str = "192.0.2.1:4000"):
    """(one end, other end); `peer` is what the one end sees."""
    there, back = _Half(), _Half()
    return PipeEnd(peer, there, back), PipeEnd("appliance:7170", back, there)
