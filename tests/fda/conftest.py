"""The filesystems that can clone; an appliance."""

import pytest

from tests.agent.fixtures import appliance, no_system_information  # noqa: F401  fixtures
from tests.fda.counted import read  # noqa: F401  a fixture
from tests.fda.volume import Volume


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def volume(request, tmp_path_factory):
    made = Volume(request.param, tmp_path_factory.mktemp("volume"))
    yield made.path
    made.close()
