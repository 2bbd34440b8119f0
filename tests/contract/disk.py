"""Contract of hal.disk.Disk: `CASES` take an open disk of 1 MiB whose content is zeros."""

import asyncio

from hal.loop import sleep_ms
from hal.native import aligned

PAGE = 4096


async def raises(kind, awaitable) -> None:
    """Fails unless awaiting raises `kind`."""
    try:
        await awaitable
    except kind:
        return
    raise AssertionError("%s was not raised" % kind.__name__)


def filled(length: int, byte: int):
    """Aligned buffer full of `byte`."""
    buffer = aligned(length)
    buffer[:] = bytes([byte]) * length
    return buffer


async def identifies(disk) -> None:
    found = await disk.identify()
    assert sorted(found) == ["model", "serial", "size_bytes"]
    assert found["size_bytes"] == disk.size_bytes == 1 << 20
    assert disk.name and disk.align_bytes == PAGE


async def reads_what_was_written(disk) -> None:
    await disk.write(PAGE, filled(3 * PAGE, 1))
    await disk.write(2 * PAGE, filled(PAGE, 2))
    back = filled(5 * PAGE, 9)
    await disk.read(0, back)
    assert [back[i * PAGE] for i in range(5)] == [0, 1, 2, 1, 0]
    await disk.flush()
    await disk.read(0, back)
    assert bytes(back) == bytes(PAGE) + b"\1" * PAGE + b"\2" * PAGE + b"\1" * PAGE + bytes(PAGE)


async def last_page(disk) -> None:
    await disk.write(disk.size_bytes - PAGE, filled(PAGE, 7))
    back = filled(2 * PAGE, 9)
    await disk.read(disk.size_bytes - 2 * PAGE, back)
    assert bytes(back) == bytes(PAGE) + b"\7" * PAGE


async def slices_of_one_buffer(disk) -> None:
    buffer = filled(4 * PAGE, 3)
    await disk.write(0, buffer[PAGE : 3 * PAGE])
    target = aligned(4 * PAGE)
    await disk.read(0, target[2 * PAGE :])
    assert bytes(target) == bytes(2 * PAGE) + b"\3" * 2 * PAGE


async def many_at_once(disk) -> None:
    """More than any queue is deep."""
    await asyncio.gather(*[disk.write(i * PAGE, filled(PAGE, i)) for i in range(100)])
    buffers = [aligned(PAGE) for _ in range(100)]
    await asyncio.gather(*[disk.read(i * PAGE, buffers[i]) for i in range(100)])
    assert [buffer[PAGE - 1] for buffer in buffers] == list(range(100))


async def refuses_bad_ranges(disk) -> None:
    page = aligned(PAGE)
    for offset in (-PAGE, 1, 512, disk.size_bytes, disk.size_bytes + PAGE):
        await raises(ValueError, disk.read(offset, page))
        await raises(ValueError, disk.write(offset, page))
        await raises(ValueError, disk.discard(offset, PAGE))
    await raises(ValueError, disk.read(0, page[:512]))
    await raises(ValueError, disk.read(0, aligned(2 * PAGE)[8 : PAGE + 8]))
    await raises(ValueError, disk.write(disk.size_bytes - PAGE, aligned(2 * PAGE)))


async def discards(disk) -> None:
    await disk.write(0, filled(4 * PAGE, 5))
    await disk.flush()
    await disk.discard(PAGE, 2 * PAGE)
    back = aligned(4 * PAGE)
    await disk.read(0, back)
    assert back[0] == back[3 * PAGE] == 5
    await disk.write(PAGE, filled(PAGE, 6))
    await disk.read(0, back)
    assert back[PAGE] == 6


async def does_not_block(disk) -> None:
    """Others run while calls are in flight, and a close right after is orderly."""
    turns = []

    async def other() -> None:
        for turn in range(3):
            turns.append(turn)
            await sleep_ms(0)

    await asyncio.gather(disk.write(0, filled(64 * PAGE, 1)), disk.flush(), other())
    assert turns == [0, 1, 2]


async def cancelled(disk) -> None:
    """A cancelled call is over when it returns: its buffer is the caller's again, the disk goes on."""
    task = asyncio.create_task(disk.write(0, filled(16 * PAGE, 1)))
    await sleep_ms(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    await disk.write(0, filled(16 * PAGE, 2))
    back = aligned(PAGE)
    await disk.read(0, back)
    assert back[0] == 2


async def empty_transfers(disk) -> None:
    await disk.write(0, aligned(PAGE)[:0])
    await disk.read(disk.size_bytes, aligned(PAGE)[:0])
    await disk.flush()


CASES = {
    "identifies": identifies,
    "reads_what_was_written": reads_what_was_written,
    "last_page": last_page,
    "slices_of_one_buffer": slices_of_one_buffer,
    "many_at_once": many_at_once,
    "refuses_bad_ranges": refuses_bad_ranges,
    "discards": discards,
    "does_not_block": does_not_block,
    "cancelled": cancelled,
    "empty_transfers": empty_transfers,
}
