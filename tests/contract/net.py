"""Contract of hal.net: `CASES` take (listen, connect): `await listen(port)` gives a Listener on 127.0.0.1, `await
connect(address)` the client's end of a connection."""

import asyncio

from hal import native
from hal.errors import BusError, Timeout
from hal.loop import sleep_ms

_WAIT_MS = 10000
_RLIMIT_NOFILE = 7
_libc = native.Library(("libc.so.6",), {"prlimit": ("i", "iipp")})


async def _raises(kind, awaitable) -> None:
    try:
        await awaitable
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


async def _accept(listener):
    connection = await listener.accept()
    await connection.handshake(_WAIT_MS)
    return connection


async def _greet(address, connect):
    client = await connect(address)
    await client.write(b"G", _WAIT_MS)
    return client


async def _pair(listener, connect) -> tuple:
    """(server end, client end), past the handshake and the greeting byte."""
    server, client = await asyncio.gather(_accept(listener), _greet(listener.address, connect))
    greeting = bytearray(1)
    await server.readinto(greeting, _WAIT_MS)
    assert greeting == b"G"
    return server, client


async def _close(*things) -> None:
    for thing in things:
        await thing.close()


async def carries_bytes(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    assert server.peer.startswith("127.0.0.1:")
    for sender, receiver in ((client, server), (server, client)):
        for length in (1, 100, 16384, 16385, 3000000):
            data = memoryview(bytearray([length & 255]) + bytearray(length) + b"!")
            back = bytearray(length)
            await asyncio.gather(sender.write(data[2:], _WAIT_MS), receiver.readinto(back, _WAIT_MS))
            assert back == data[2:]
    await _close(server, client, listener)


async def reads_what_there_is(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    await client.write(b"abc", _WAIT_MS)
    got = b""
    while len(got) < 3:
        piece = await server.read(2, _WAIT_MS)
        assert 1 <= len(piece) <= 2
        got += piece
    assert got == b"abc"
    await _close(server, client, listener)


async def end_of_stream(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    await client.write(b"ab", _WAIT_MS)
    await client.close()
    await _raises(EOFError, server.readinto(bytearray(3), _WAIT_MS))
    assert await server.read(10, _WAIT_MS) == b""
    await _close(server, listener)


async def read_times_out_and_goes_on(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    await _raises(Timeout, server.readinto(bytearray(1), 30))
    await _raises(Timeout, server.read(1, 30))
    await client.write(b"x", _WAIT_MS)
    assert await server.read(1, _WAIT_MS) == b"x"
    await _close(server, client, listener)


async def write_times_out(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    await _raises(Timeout, server.write(bytearray(32 << 20), 200))
    await _close(server, client, listener)


async def silent_peer_blocks_nobody(listen, connect) -> None:
    listener = await listen(0)
    silent = await connect(listener.address)
    held = await listener.accept()
    waiting = asyncio.create_task(_raises(Timeout, _first(held, 300)))
    server, client = await _pair(listener, connect)
    await client.write(b"x", _WAIT_MS)
    assert await server.read(1, _WAIT_MS) == b"x"
    await waiting
    await _close(held, silent, server, client, listener)


async def _first(connection, timeout_ms: int) -> None:
    await connection.handshake(timeout_ms)
    await connection.readinto(bytearray(1), timeout_ms)


async def close_wakes_the_reader(listen, connect) -> None:
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    reader = asyncio.create_task(_raises(BusError, server.readinto(bytearray(1), 0)))
    await sleep_ms(20)
    await server.close()
    await reader
    await server.close()
    await _raises(BusError, server.read(1, 100))
    await _raises(BusError, server.write(b"x", 100))
    await _close(client, listener)


async def close_wakes_the_acceptor(listen, connect) -> None:
    listener = await listen(0)
    acceptor = asyncio.create_task(_raises(BusError, listener.accept()))
    await sleep_ms(20)
    await listener.close()
    await acceptor


async def port_is_taken(listen, connect) -> None:
    listener = await listen(0)
    host, port = listener.address
    assert host == "127.0.0.1" and port > 0
    await _raises(BusError, listen(port))
    await listener.close()
    again = await listen(port)
    server, client = await _pair(again, connect)
    await _close(server, client, again)


async def many_connections(listen, connect) -> None:
    listener = await listen(0)
    pairs = []
    for _ in range(40):
        pairs.append(await _pair(listener, connect))
    for index, (server, client) in enumerate(pairs):
        await client.write(bytes([index]), _WAIT_MS)
    for index, (server, client) in enumerate(pairs):
        assert await server.read(1, _WAIT_MS) == bytes([index])
        await _close(server, client)
    await listener.close()


def _limit_files(count: int) -> int:
    """Set the number of descriptors this process may have; gives the one before."""
    new, old = native.aligned(16, 16), native.aligned(16, 16)
    assert _libc.prlimit(0, _RLIMIT_NOFILE, None, old) == 0
    new[:] = old
    new[0:8] = count.to_bytes(8, "little")
    assert _libc.prlimit(0, _RLIMIT_NOFILE, new, None) == 0
    return int.from_bytes(bytes(old[0:8]), "little")


async def accept_survives_exhaustion(listen, connect) -> None:
    """Out of descriptors, accept neither raises nor spins, and goes on when there are some again."""
    listener = await listen(0)
    client = await connect(listener.address)
    before = _limit_files(4)
    try:
        acceptor = asyncio.create_task(listener.accept())
        turns = 0
        for _ in range(20):
            await sleep_ms(10)
            turns += 1
        assert turns == 20
    finally:
        _limit_files(before)
    server = await acceptor
    await _close(server, client, listener)


async def fast_peer_shares_the_loop(listen, connect) -> None:
    """Another task gets turns while a connection always has data ready."""
    listener = await listen(0)
    server, client = await _pair(listener, connect)
    sending = asyncio.create_task(client.write(bytearray(8 << 20), _WAIT_MS))
    turns = []

    async def other() -> None:
        while True:
            turns.append(1)
            await sleep_ms(0)

    ticking = asyncio.create_task(other())
    buffer = bytearray(4096)
    for _ in range((8 << 20) // 4096):
        await server.readinto(buffer, _WAIT_MS)
    await sending
    ticking.cancel()
    assert len(turns) > 2
    await _close(server, client, listener)


CASES = {
    "carries_bytes": carries_bytes,
    "reads_what_there_is": reads_what_there_is,
    "end_of_stream": end_of_stream,
    "read_times_out_and_goes_on": read_times_out_and_goes_on,
    "write_times_out": write_times_out,
    "silent_peer_blocks_nobody": silent_peer_blocks_nobody,
    "close_wakes_the_reader": close_wakes_the_reader,
    "close_wakes_the_acceptor": close_wakes_the_acceptor,
    "port_is_taken": port_is_taken,
    "many_connections": many_connections,
    "accept_survives_exhaustion": accept_survives_exhaustion,
    "fast_peer_shares_the_loop": fast_peer_shares_the_loop,
}
