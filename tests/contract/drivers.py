"""Every driver that a contract suite runs over: what builds it, hands it to a case and takes it down again.

`contract_cases` gives (id, coroutine function) for pytest (test_contract.py) and for MicroPython (tests/micro.py).
"""

from hal.linux.rwp import NativeProcessor
from tests.contract import rwp


async def _native_processor(case) -> None:
    processor = NativeProcessor()
    await case(processor)
    processor.close()


# (interface, driver, its cases, what runs one case)
DRIVERS = (
    ("rwp", "native", rwp.cases, _native_processor),
)


def _bound(run, case):
    async def bound() -> None:
        await run(case)

    return bound


def contract_cases() -> list:
    """[(id, coroutine function)] of every case over every driver."""
    found = []
    for interface, driver, cases, run in DRIVERS:
        for name, case in cases.items():
            found.append(("%s-%s-%s" % (interface, driver, name), _bound(run, case)))
    return found
