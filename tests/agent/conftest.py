"""One appliance process for each test module."""

import pytest

from tests.agent.rig import Appliance


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    made = Appliance(tmp_path_factory.mktemp("appliance"))
    yield made
    made.close()
