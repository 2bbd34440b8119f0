"""The image that all QEMU tests boot, built once a session."""

from pathlib import Path

import pytest

from image import image as builder


@pytest.fixture(scope="session")
def image() -> Path:
    return Path(builder.build()["path"])
