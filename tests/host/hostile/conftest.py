"""One stage for each file of the suite, on MicroPython over LMDB and a file."""

import pytest

from tests.host.hostile import stage as stages
from tests.lab.door_client import DoorProcess


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    with open(folder / "disk", "wb") as disk:
        disk.truncate(stages.DISK_BYTES)
    with DoorProcess(folder, files=(folder / "disk", folder / "catalog")) as door:
        yield stages.Stage(door)


@pytest.fixture(autouse=True)
def unharmed(stage):
    """After every attack: nothing lost, nothing gained."""
    yield
    stage.sound()
