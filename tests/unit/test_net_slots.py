"""firmware.sched.slots: admission, rate, buffers used again."""

from firmware.core.config import Config
from firmware.formats import limits
from firmware.formats.refusal import Refusal
from firmware.sched.slots import Slots


async def _config(**values):
    config = Config(None)
    for name, text in values.items():
        await config.set(name.replace("_", ".", 1), text)
    return config


async def test_as_many_as_the_setting_says():
    slots = Slots(await _config(backup_sessions="2", backup_rate_bytes_s="1000"))
    first, second = slots.take(), slots.take()
    assert first.rate_bytes_s == 1000 and len(first.buffer) == limits.FRAME_BYTES
    try:
        slots.take()
        assert False, "a third slot"
    except Refusal as refusal:
        assert refusal.name == "BUSY" and refusal.retry_s > 0
    slots.release(first)
    assert slots.running() == 1
    assert slots.take() is first
    assert second.buffer is not first.buffer


async def test_buffers_shrink_with_the_setting():
    config = await _config(backup_sessions="3")
    slots = Slots(config)
    taken = [slots.take() for _ in range(3)]
    await config.set("backup.sessions", "1")
    for slot in taken:
        slots.release(slot)
    assert [slot.buffer is None for slot in taken] == [True, True, False]
    assert slots.take() is taken[2]
