"""What tests with a whole agent share. The conftest.py of a folder imports what it needs."""

import pytest

from agent_pc.sysinfo import table
from tests.agent.rig import Appliance


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    """One appliance process for each test module."""
    made = Appliance(tmp_path_factory.mktemp("appliance"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_system_information(monkeypatch):
    """Every byte that is read and sent is of the files under test."""
    monkeypatch.setattr(table, "ROWS", ())
