"""A mount for each test; an appliance."""

import os

import pytest

from tests.agent.fixtures import appliance, no_system_information  # noqa: F401  fixtures
from tests.fda.counted import read  # noqa: F401  a fixture
from tests.guard.rig import Mount


@pytest.fixture
def mount(tmp_path):
    if not os.path.exists("/dev/fuse") or os.geteuid():
        pytest.skip("needs /dev/fuse and root")
    made = Mount(tmp_path)
    yield made
    made.close()
