"""Contract of hal.i2c.SMBus: `CASES` take a bus with one chip at 0x50 whose 256 registers are zero."""

from hal.errors import BusError

_CHIP = 0x50
_NOBODY = 0x51


def _raises(kind, call, *arguments) -> None:
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


async def bytes_and_words(bus) -> None:
    bus.write_byte_data(_CHIP, 0, 0xA5)
    bus.write_word_data(_CHIP, 0x10, 0x1234)
    assert bus.read_byte_data(_CHIP, 0) == 0xA5
    assert bus.read_word_data(_CHIP, 0x10) == 0x1234
    assert bus.read_byte_data(_CHIP, 0x10) == 0x34
    assert bus.read_byte_data(_CHIP, 0x11) == 0x12


async def blocks(bus) -> None:
    bus.write_i2c_block_data(_CHIP, 0x20, [1, 2, 3])
    bus.write_i2c_block_data(_CHIP, 0x40, bytes(range(32)))
    assert bus.read_i2c_block_data(_CHIP, 0x20, 4) == [1, 2, 3, 0]
    assert bus.read_i2c_block_data(_CHIP, 0x40, 32) == list(range(32))


async def nobody_answers(bus) -> None:
    _raises(BusError, bus.read_byte_data, _NOBODY, 0)
    _raises(BusError, bus.write_byte_data, _NOBODY, 0, 1)
    _raises(BusError, bus.read_i2c_block_data, _NOBODY, 0, 4)


async def refuses(bus) -> None:
    for call in (
        (bus.read_byte_data, 0x80, 0),
        (bus.read_byte_data, 0, 0),
        (bus.read_byte_data, _CHIP, 256),
        (bus.write_byte_data, _CHIP, 0, 256),
        (bus.write_word_data, _CHIP, 0, 65536),
        (bus.read_i2c_block_data, _CHIP, 0, 33),
        (bus.read_i2c_block_data, _CHIP, 0, 0),
        (bus.write_i2c_block_data, _CHIP, 0, bytes(33)),
    ):
        _raises(ValueError, *call)


CASES = {"bytes_and_words": bytes_and_words, "blocks": blocks, "nobody_answers": nobody_answers, "refuses": refuses}
