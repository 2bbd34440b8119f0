"""Contract suites on CPython, and all of them again on MicroPython."""

import asyncio

import pytest

from tests.contract.drivers import contract_cases
from tests.lab import micropython

_CASES = contract_cases()


@pytest.mark.parametrize("run", [case for _, case in _CASES], ids=[name for name, _ in _CASES])
def test_contract(run):
    asyncio.run(run())


def test_contract_on_micropython():
    micropython.run_tests("tests/contract/drivers.py")
