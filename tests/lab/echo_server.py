"""TLS echo server on MicroPython with a new identity; started by tests/host/test_tls.py and tests/bench.

Prints port, then the certificate in hex. Each connection begins with 16 decimal digits, a number of bytes; so many are
received and thrown away, then "OK" is sent, and everything after comes back.
"""

import asyncio
import sys

sys.path.insert(0, "")

from hal.linux.identity import make_identity  # noqa: E402
from hal.linux.net import TlsListener  # noqa: E402
from hal.loop import now_ms  # noqa: E402

_WAIT_MS = 30000
_BUFFER_BYTES = 64 << 10


async def _serve(connection) -> None:
    try:
        await connection.handshake(_WAIT_MS)
        head = bytearray(16)
        await connection.readinto(head, _WAIT_MS)
        await _swallow(connection, int(bytes(head).decode()))
        await connection.write(b"OK", _WAIT_MS)
        while True:
            data = await connection.read(_BUFFER_BYTES, _WAIT_MS)
            if not data:
                break
            await connection.write(data, _WAIT_MS)
    except Exception as error:
        print("connection ended:", repr(error))
    await connection.close()


async def _swallow(connection, total: int) -> None:
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    began = now_ms()
    left = total
    while left:
        piece = buffer[: min(left, _BUFFER_BYTES)]
        await connection.readinto(piece, _WAIT_MS)
        left -= len(piece)
    if total:
        print("received %d bytes in %d ms" % (total, now_ms() - began))


async def main() -> None:
    certificate, key = make_identity("bobbin-test")
    listener = TlsListener("127.0.0.1", 0, certificate, key)
    print(listener.address[1], "".join(["%02x" % byte for byte in certificate]))
    while True:
        asyncio.create_task(_serve(await listener.accept()))


asyncio.run(main())
