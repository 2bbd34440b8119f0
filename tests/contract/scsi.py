"""Contract of `hal.scsi.ScsiTransport` with a loaded tape drive behind it: simulated, libiscsi, /dev/sg.

Each of `CASES` takes a connected transport that `ready` has seen.
"""

import asyncio

from hal import loop
from hal.errors import BusError, NotReady
from hal.ssc import cdb
from hal.ssc import sense as sns

GOOD, CHECK_CONDITION = 0, 2
BLOCK = 256 * 1024


async def ready(transport) -> None:
    """Clear pending unit attentions; the medium is in."""
    for _ in range(8):
        if (await transport.execute(cdb.test_unit_ready())).status == GOOD:
            return
        await loop.sleep_ms(20)
    raise AssertionError("the unit does not become ready")


async def check_inquiry(transport) -> None:
    raw = bytearray(cdb.INQUIRY_BYTES)
    result = await transport.execute(cdb.inquiry(), data_in=raw)
    assert result.status == GOOD and result.sense == b"" and 0 <= result.residual <= 60
    assert cdb.parse_inquiry(raw)[0] == 1


async def check_residual(transport) -> None:
    """A buffer longer than what comes keeps its tail, and the residual says how much. With wrong length tgt takes the bytes
    that came for those that did not, and sends so many: there INFORMATION counts."""
    await transport.execute(cdb.rewind(False))
    assert (await transport.execute(cdb.write(4096), data_out=bytes(4096))).status == GOOD
    await transport.execute(cdb.rewind(False))
    raw = bytearray(b"\xa5" * 16384)
    result = await transport.execute(cdb.read(16384), data_in=memoryview(raw))
    assert raw[:4096] == bytes(4096)
    if result.status == GOOD:
        assert result.residual == 16384 - 4096, result.residual
        assert raw[4096:] == b"\xa5" * (16384 - 4096)
    else:
        assert sns.decode(result.sense).info == 16384 - 4096


async def check_sense(transport) -> None:
    """A refusal is a result with sense, not an exception, and the next command works."""
    result = await transport.execute(bytes((0xC7, 0, 0, 0, 0, 0)))
    assert result.status == CHECK_CONDITION
    assert sns.decode(result.sense).triple == (sns.ILLEGAL, 0x20, 0x00)
    assert (await transport.execute(cdb.test_unit_ready())).status == GOOD


async def check_data_both_ways(transport) -> None:
    block = bytes(range(256)) * (BLOCK // 256)
    await transport.execute(cdb.rewind(False))
    result = await transport.execute(cdb.write(BLOCK), data_out=memoryview(block))
    assert result.status == GOOD and result.residual == 0
    await transport.execute(cdb.rewind(False))
    back = bytearray(BLOCK)
    result = await transport.execute(cdb.read(BLOCK), data_in=back)
    assert result.status == GOOD and result.residual == 0 and back == block


async def check_several_in_flight(transport) -> None:
    buffers = [bytearray(cdb.INQUIRY_BYTES) for _ in range(4)]
    results = await asyncio.gather(*[transport.execute(cdb.inquiry(), data_in=buffer) for buffer in buffers])
    assert [result.status for result in results] == [GOOD] * 4
    assert all(buffer == buffers[0] for buffer in buffers)


async def check_closed(transport) -> None:
    """Nothing works on a closed transport, and closing twice is harmless."""
    await transport.close()
    try:
        await transport.execute(cdb.test_unit_ready())
    except (BusError, NotReady):
        return await transport.close()
    raise AssertionError("a closed transport executed a command")


CASES = {
    "inquiry": check_inquiry,
    "residual": check_residual,
    "sense": check_sense,
    "data_both_ways": check_data_both_ways,
    "several_in_flight": check_several_in_flight,
    "closed": check_closed,
}
