"""The chain on the flash image: a real agent, disk and tape, a reboot; QEMU killed in the middle of a backup and of a tape copy.

One appliance for each kind of drive serves all tests of this file. Each test leaves it running, logged in, with an agent, trees and a cartridge of its own.
"""

import os
import time

import pytest

from tests.chain.pc import Pc
from tests.chain.sample import many_files, odd_tree
from tests.lab.box import READY, START_S, QemuAppliance
from tests.lab.istgt import Istgt
from tests.lab.mhvtl import Mhvtl

_MB = 1000000
_CUT_S = 120  # for what a test waits for before it pulls the plug
_LARGE_BYTES = 8 << 20

# A checkpoint comes with 4096 rows of the catalog: after some 2048 of these files, 8.4 MB. The plug is pulled when the catalog says so.
_FILES, _FILE_BYTES = 6000, 4096
_SPARED_BYTES = 7 * _MB  # what the next backup sends besides contents is taken off
_CUT_BYTES = 8 * _MB
_RATE_BYTES_S = 4 * _MB


@pytest.fixture(scope="module", params=(Istgt, Mhvtl), ids=lambda kind: kind.name)
def target(request, tmp_path_factory):
    if request.param.missing():
        pytest.skip(request.param.missing())
    made = request.param(tmp_path_factory.mktemp("target"))
    made.start(size_mib=256)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def box(image, target, tmp_path_factory):
    with QemuAppliance(tmp_path_factory.mktemp("board") / "box", image, tape=target.url) as appliance:
        appliance.log_in()
        appliance.format_disk()
        yield appliance
        assert "Traceback" not in appliance.log()


@pytest.fixture
def tree(tmp_path):
    return odd_tree(tmp_path / "tree", large_bytes=_LARGE_BYTES)


def _done(box, command: str) -> dict:
    answer = box.json(command)
    assert answer["ok"], answer
    return answer


def _refused(box, command: str) -> str:
    answer = box.json(command)
    assert not answer["ok"], answer
    return answer["text"]


def _power_on(box) -> None:
    assert "Traceback" not in box.log()
    box.start()
    box.log_in()


def _allocated(box) -> int:
    """Bytes of the data disk that were ever written: its file is sparse."""
    return os.stat(box.folder / "disk.img").st_blocks * 512


def _committed(box) -> int:
    """Bytes of the segments that the catalog knows of: they grow with each checkpoint."""
    return box.json("show disk")["used_bytes"]


def _recorded(target) -> int:
    """Bytes in the blocks of the cartridge in the drive."""
    return sum(length for _, _, _, length in target.blocks(target.path(target.state["cartridge"])))


def _wait(amount, least: int) -> None:
    """Until `amount()` has come to `least`."""
    deadline = time.monotonic() + _CUT_S
    while amount() < least:
        assert time.monotonic() < deadline, "%d after %d s, expected %d" % (amount(), _CUT_S, least)
        time.sleep(0.01)


def test_disk_and_tape_and_reboot(box, target, tree, tmp_path):
    pc = Pc("anna", tmp_path / "anna").pair(box)
    first = pc.run("backup", str(tree))
    assert first["bytes_sent"] > _LARGE_BYTES
    again = pc.run("backup", str(tree))
    assert again["bytes_sent"] < 4096
    pc.restores(tree, tmp_path / "back", again["view"])

    _done(box, "tape label T-1")
    copied = _done(box, "tape backup")
    assert copied["bytes"] > _LARGE_BYTES
    assert _done(box, "tape verify")["damaged"] == 0
    _done(box, "tape eject")
    target.insert(target.state["cartridge"])
    _done(box, "tape load")
    assert _done(box, "tape mount")["name"] == "T-1"
    pc.restores(tree, tmp_path / "back", first["view"], "--source", "tape")
    _done(box, "tape unmount")

    box.console.line("reboot now")
    box.console.expect(READY, timeout_s=START_S)
    box.log_in()
    assert box.json("show status")["uptime_s"] < START_S
    listed = [row["view"] for row in pc.run("views")["views"]]
    assert listed == [first["view"], again["view"]]
    pc.restores(tree, tmp_path / "back", first["view"])
    assert box.json("show tape")["tape"]["name"] == "T-1"


def test_power_cut_in_the_middle_of_a_backup(box, tree, tmp_path):
    pc = Pc("bert", tmp_path / "bert").pair(box)
    view = pc.run("backup", str(tree))["view"]
    many = many_files(tmp_path / "many", _FILES, _FILE_BYTES, 8)
    _done(box, "set backup.rate_bytes_s %d" % _RATE_BYTES_S)

    before, known = _allocated(box), _committed(box)
    agent = pc.start("backup", str(many))
    _wait(lambda: _committed(box) - known, _CUT_BYTES)
    assert agent.poll() is None and box.json("show status")["backups"] == 1
    box.kill()
    agent.kill()  # the PC loses its power, too: nothing is left of this run
    agent.wait()
    assert _allocated(box) - before < _FILES * _FILE_BYTES, "the backup was complete: it was not cut in the middle"

    _power_on(box)
    assert [row["view"] for row in pc.run("views")["views"]] == [view]
    assert [row["view"] for row in box.json("show views bert")["views"]] == [view]
    pc.restores(tree, tmp_path / "back", view)
    settings = {row["name"]: row["value"] for row in box.json("show config")["settings"]}
    assert settings["backup.rate_bytes_s"] == str(_RATE_BYTES_S)
    _done(box, "set backup.rate_bytes_s 0")

    done = pc.run("backup", str(many))
    assert any("client bert" in line and "continues backup" in line for line in box.json("show log 100")["lines"])
    assert done["files"] == _FILES and done["bytes_sent"] < _FILES * _FILE_BYTES - _SPARED_BYTES
    pc.restores(many, tmp_path / "back", done["view"])
    pc.restores(tree, tmp_path / "back", view)


def test_power_cut_in_the_middle_of_a_tape_copy(box, target, tree, tmp_path):
    pc = Pc("carl", tmp_path / "carl").pair(box)
    views = [pc.run("backup", str(tree))["view"]]
    target.blank(256)
    _done(box, "tape label T-2")

    box.console.line("tape backup")
    _wait(lambda: _recorded(target), _LARGE_BYTES // 2)
    box.kill()
    assert "is complete" not in box.log().rpartition("tape backup")[2]

    _power_on(box)
    assert [row["view"] for row in pc.run("views")["views"]] == views
    pc.restores(tree, tmp_path / "back", views[0])
    for command in ("tape mount", "tape verify"):
        text = _refused(box, command)
        assert "T-2 is unfinished" in text and "tape backup" in text, text
    assert "mounted" not in box.json("show tape")["tape"]

    assert _done(box, "tape backup")["name"] == "T-2"
    assert _done(box, "tape verify")["damaged"] == 0
    _done(box, "tape mount")
    pc.restores(tree, tmp_path / "back", views[0], "--source", "tape")
    _done(box, "tape unmount")
