"""A terminal as a session sees it: bytes in, text out. `SerialTerminal` is here, the one for telnet in `telnet.py`."""

import asyncio

from hal.loop import wait_ms


class SerialTerminal:
    """A hal.serial.Serial. `peer` names the line, `columns` is the width to keep within."""

    columns = 80
    remote = False

    def __init__(self, serial):
        self._serial = serial
        self._writing = asyncio.Lock()  # the session and the log write the same line
        self.peer = serial.name

    async def read(self, limit: int, timeout_ms: int) -> bytes:
        """1 to `limit` bytes, b"" after a hangup; timeout_ms 0 waits for ever. Raises Timeout, BusError."""
        return await wait_ms(self._serial.read(limit), timeout_ms)

    async def write(self, text: str) -> None:
        """Raises BusError."""
        async with self._writing:
            await self._serial.write(text.replace("\n", "\r\n").encode())
