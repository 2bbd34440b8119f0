"""One appliance process for each test module."""

import pytest

from agent_pc.sysinfo import table
from tests.agent.fixtures import appliance  # noqa: F401  a fixture


@pytest.fixture(autouse=True)
def system_that_stays(monkeypatch):
    """Other tests mount filesystems meanwhile: what views say of this PC must not change under a test."""
    stays = ("system", "boot by UEFI", "packages")
    monkeypatch.setattr(table, "ROWS", tuple(row for row in table.ROWS if row[0] in stays))
