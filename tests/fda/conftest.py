"""The filesystems that can clone; an appliance."""

import pytest

from tests.agent.rig import Appliance
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
