"""A mount for each test; an appliance."""

import os

import pytest

from agent_pc.sysinfo import table
from tests.agent.rig import Appliance
from tests.fda.counted import read  # noqa: F401  a fixture
from tests.guard.rig import Mount


@pytest.fixture
def mount(tmp_path):
    if not os.path.exists("/dev/fuse") or os.geteuid():
        pytest.skip("needs /dev/fuse and root")
    made = Mount(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    made = Appliance(tmp_path_factory.mktemp("appliance"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_system_information(monkeypatch):
    """Every byte that is read and sent is of the files under test."""
    monkeypatch.setattr(table, "ROWS", ())
