"""Contract of hal.clock.Clock: `CASES` take (clock, may_set)."""

from hal.errors import Unsupported
from hal.loop import sleep_ms

_2025_NS = 1735689600 * 1000000000


async def goes_forward(clock, may_set) -> None:
    first = clock.now_ns()
    await sleep_ms(5)
    assert isinstance(first, int) and first > _2025_NS
    assert clock.now_ns() >= first


async def may_refuse_to_be_set(clock, may_set) -> None:
    try:
        clock.set_ns(_2025_NS)
        assert may_set
    except Unsupported:
        assert not may_set


CASES = {"goes_forward": goes_forward, "may_refuse_to_be_set": may_refuse_to_be_set}
