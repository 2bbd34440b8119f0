"""firmware.net.channel: lengths, buffers, half frames, the ERROR frame."""

from firmware.formats import limits, message
from firmware.formats.frame import FRAME
from firmware.formats.refusal import Refusal
from firmware.net.channel import Channel, Disconnected, Silence, body_bound
from tests.lab.pipe import pipe


async def _raised(kind, awaitable):
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError("%s was not raised" % kind.__name__)


def test_bounds_come_from_the_rows():
    assert body_bound(message.HELLO) == 2 + 4 + 64
    assert body_bound(message.AUTH) == 48
    assert body_bound(message.ABANDON) == 0
    assert body_bound(message.PACK) == limits.FRAME_BYTES
    assert body_bound(message.RFE_ASK) == 4 + 4 * limits.RFE_ROWS
    for type_ in (message.HELLO, message.PAIR, message.AUTH):
        assert body_bound(type_) <= limits.FRAME_BYTES_UNKNOWN


async def test_frames_in_one_buffer():
    near, far = pipe()
    channel = Channel(near)
    for body in (b"a" * 1000, b"", b"b" * 1000):
        await far.write(FRAME.pack(len(body), message.PACK, 0, 7) + body, 100)
        frame = await channel.header(100)
        assert (frame.type, frame.request, frame.length) == (message.PACK, 7, len(body))
        assert bytes(await channel.body(frame.length)) == body


async def test_body_lands_in_the_lent_buffer():
    near, far = pipe()
    channel = Channel(near)
    lent = memoryview(bytearray(limits.FRAME_BYTES))
    channel.lend(lent)
    await far.write(b"xyz", 100)
    body = await channel.body(3)
    assert bytes(lent[:3]) == b"xyz"
    body[0] = 65
    assert lent[0] == 65


async def test_silence_and_half_frames():
    near, far = pipe()
    channel = Channel(near)
    await _raised(Silence, channel.header(5))
    await far.write(FRAME.pack(10, message.HELLO, 0, 1)[:5], 100)
    await far.close()
    await _raised(Disconnected, channel.header(100))

    near, far = pipe()
    channel = Channel(near)
    await far.write(b"1234", 100)
    await _raised(Disconnected, channel.body(5, 5))


async def test_flags_must_be_zero():
    near, far = pipe()
    await far.write(FRAME.pack(0, message.HELLO, 1, 1), 100)
    error = await _raised(Refusal, Channel(near).header(100))
    assert error.name == "PROTOCOL" and "flags" in error.text


async def test_long_refusals_are_cut():
    near, far = pipe()
    await Channel(near).refuse(Refusal("FULL", "\u00e4" * 400, 5), 9)
    head = bytearray(FRAME.size)
    await far.readinto(head, 100)
    frame = FRAME.unpack(head)
    body = bytearray(frame.length)
    await far.readinto(body, 100)
    values = message.RECORDS[message.ERROR].unpack(body)
    assert (frame.type, frame.request, values.retry_s) == (message.ERROR, 9, 5)
    assert len(values.text.encode()) <= 512


async def test_a_write_that_fails_leaves_the_channel_unclean():
    near, far = pipe()
    channel = Channel(near)
    await channel.send(message.ABANDONED, 1)
    assert channel.clean
    await far.close()
    await _raised(Disconnected, channel.send_pack(message.DATA, 1, b"pack"))
    assert not channel.clean
