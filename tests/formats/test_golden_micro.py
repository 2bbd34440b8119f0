"""test_golden.py again, on MicroPython; and what CPython alone can check: recording needs its flag, a missing file fails."""

import subprocess
import sys

import pytest

from tests.formats import samples
from tests.lab import micropython


def test_golden_on_micropython():
    micropython.run_tests("tests/formats/test_golden.py")


def test_missing_golden_file_fails():
    with pytest.raises(AssertionError, match="wire.NOWHERE.json is missing"):
        samples.load("wire.NOWHERE")


def test_recording_needs_its_flag():
    before = sorted((micropython.REPOSITORY / samples.FOLDER).iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "tests.formats.samples"], cwd=micropython.REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 1 and "--record" in done.stderr
    assert sorted((micropython.REPOSITORY / samples.FOLDER).iterdir()) == before
