"""Contract of hal.serial.Serial: `CASES` take (line, far): `far` is the other end, with async `send`, `receive(count)`
and `hang_up`."""

import asyncio

from hal.loop import sleep_ms


async def carries_every_byte(line, far) -> None:
    """Raw: no echo, no translation, no control characters."""
    everything = bytes(range(256))
    await far.send(everything)
    got = b""
    while len(got) < 256:
        piece = await line.read(100)
        assert 1 <= len(piece) <= 100
        got += piece
    assert got == everything
    await line.write(everything)
    assert await far.receive(256) == everything


async def reader_waits(line, far) -> None:
    reader = asyncio.create_task(line.read(10))
    await sleep_ms(20)
    assert not reader.done()
    await far.send(b"x")
    assert await reader == b"x"


async def long_output_arrives(line, far) -> None:
    text = b"0123456789abcdef" * 2000
    writer = asyncio.create_task(line.write(text))
    assert await far.receive(len(text)) == text
    await writer


async def hang_up(line, far) -> None:
    await far.send(b"last")
    assert await line.read(10) == b"last"
    await far.hang_up()
    assert await line.read(10) == b""


CASES = {
    "carries_every_byte": carries_every_byte,
    "reader_waits": reader_waits,
    "long_output_arrives": long_output_arrives,
    "hang_up": hang_up,
}

# A pseudo terminal of the host board outlives whoever opens it.
NO_HANG_UP = {name: case for name, case in CASES.items() if case is not hang_up}
