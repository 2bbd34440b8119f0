"""The filesystems that can clone; an appliance."""

import pytest

from agent_pc.sysinfo import table
from tests.agent.rig import Appliance
from tests.fda.counted import read  # noqa: F401  a fixture
from tests.fda.volume import Volume


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def volume(request, tmp_path_factory):
    made = Volume(request.param, tmp_path_factory.mktemp("volume"))
    yield made.path
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
