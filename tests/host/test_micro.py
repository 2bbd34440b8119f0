"""tests/unit again, on MicroPython."""

import pytest

from tests.lab import micropython

_FILES = sorted(
    str(path.relative_to(micropython.REPOSITORY)) for path in (micropython.REPOSITORY / "tests/unit").glob("test_*.py")
)


@pytest.mark.parametrize("path", _FILES)
def test_unit_on_micropython(path):
    micropython.run_tests(path)
