"""One appliance process for each test module."""

import pytest

from agent_pc.sysinfo import table
from tests.agent.rig import Appliance


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    made = Appliance(tmp_path_factory.mktemp("appliance"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def system_that_stays(monkeypatch):
    """Other tests mount filesystems meanwhile: what views say of this PC must not change under a test."""
    stays = ("system", "boot by UEFI", "packages")
    monkeypatch.setattr(table, "ROWS", tuple(row for row in table.ROWS if row[0] in stays))
