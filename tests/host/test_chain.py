"""The whole appliance and real agents on the host board: disk, tape on both targets, kills, and what must be refused clearly."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from agent_pc.exits import STATUS
from tests.chain.pc import Pc
from tests.chain.sample import odd_tree
from tests.lab.appliance import HostAppliance
from tests.lab.istgt import Istgt
from tests.lab.mhvtl import Mhvtl
from tests.lab.tgt import Tgt


@pytest.fixture
def box(tmp_path):
    with HostAppliance(tmp_path / "box") as appliance:
        appliance.log_in()
        appliance.format_disk()
        yield appliance
        assert "Traceback" not in appliance.log()


@pytest.fixture
def pc(box, tmp_path):
    return Pc("anna", tmp_path / "anna").pair(box)


def test_backup_change_backup_restore_both(box, pc, tmp_path):
    tree = odd_tree(tmp_path / "tree")
    first = pc.run("backup", str(tree))
    assert pc.run("backup", str(tree))["bytes_sent"] < 4096
    before = tmp_path / "first"
    subprocess.run(["cp", "-a", str(tree), str(before)], check=True)
    with open(tree / "large.bin", "r+b") as file:
        file.seek(10 << 20)
        file.write(b"changed in the middle")
    (tree / "dir2" / "sub" / "file2.txt").unlink()
    (tree / "new").write_text("new")
    second = pc.run("backup", str(tree))
    assert second["bytes_sent"] < 200000
    pc.restores(tree, tmp_path / "back", second["view"])
    shutil.rmtree(tree)
    os.rename(before, tree)
    pc.restores(tree, tmp_path / "back", first["view"])
    other = Pc("bert", tmp_path / "bert").pair(box)
    done = other.run("backup", str(tree))
    assert done["bytes_sent"] < done["bytes"] // 20
    assert len(box.json("show views anna")["views"]) == 3 and len(box.json("backup list")["views"]) == 4


@pytest.mark.parametrize("kind", (Istgt, Tgt, Mhvtl), ids=lambda kind: kind.name)
def test_tape(kind, tmp_path):
    if kind.missing():
        pytest.skip(kind.missing())
    target = kind(tmp_path / "target")
    url = target.start(size_mib=256)
    tree = odd_tree(tmp_path / "tree")
    try:
        with HostAppliance(tmp_path / "box", tapes=[url]) as box:
            box.log_in()
            box.format_disk()
            pc = Pc("anna", tmp_path / "anna").pair(box)
            view = pc.run("backup", str(tree))["view"]
            for command in ("tape label T-1", "tape backup", "tape verify", "tape eject"):
                answer = box.json(command)
                assert answer["ok"], answer
            target.insert(target.state["cartridge"])
            assert box.json("tape load")["ok"] and box.json("tape mount")["ok"]
            pc.restores(tree, tmp_path / "back", view, "--source", "tape")
            assert box.json("tape backup")["error"] == "BUSY"
            assert box.json("tape unmount")["ok"]
            assert box.stop() == 0
            assert "Traceback" not in box.log()
    finally:
        target.stop()


def test_killed_during_a_backup_keeps_what_was_acknowledged_and_goes_on(box, pc, tmp_path):
    first = odd_tree(tmp_path / "first")
    view = pc.run("backup", str(first))["view"]
    second = odd_tree(tmp_path / "second", 8)
    agent = pc.start("backup", str(second))
    deadline = time.monotonic() + 30
    while box.json("show status")["backups"] == 0 and agent.poll() is None:
        assert time.monotonic() < deadline
    port = box.port
    box.kill()
    agent.send_signal(signal.SIGINT)
    agent.wait(60)
    box.start(port)
    box.log_in()
    assert view in [row["view"] for row in box.json("show views")["views"]]
    pc.restores(first, tmp_path / "back", view)
    again = pc.run("backup", str(second))["view"]
    pc.restores(second, tmp_path / "back", again)


def test_refusals_have_their_own_exit_status(box, pc, tmp_path):
    tree = odd_tree(tmp_path / "tree")
    stranger = Pc("stranger", tmp_path / "stranger")
    host = "127.0.0.1:%d" % box.port
    code = box.json("client pair anna")["code"]
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    cases = (
        (stranger, ("pair", wrong, "--host", host), "PAIRING"),
        (stranger, ("pair", ("ZZZZ" if code[:4] != "ZZZZ" else "YYYY") + code[4:], "--host", host), "CERTIFICATE"),
        (stranger, ("backup", str(tree)), "PAIRING"),
        (pc, ("backup", str(tree / "nowhere")), "SOURCE"),
        (pc, ("restore", "--view", "99", "--to", str(tmp_path / "back")), "NOT_FOUND"),
        (pc, ("restore", "--source", "tape", "--to", str(tmp_path / "back")), "NO_TAPE"),
    )
    for who, words, name in cases:
        document = who.run(*words, expect=(STATUS[name],))
        assert document["error"]["name"] == name, document
    assert box.json("tape backup")["error"] == "NotReady"
    box.console.line("client remove anna")
    box.console.expect("y/n")
    box.console.line("y")
    box.console.expect("removed")
    box.console.expect("bobbin> ")
    assert pc.run("backup", str(tree), expect=(STATUS["AUTH"],))["error"]["name"] == "AUTH"


def test_without_a_disk_agents_are_told_so(tmp_path):
    with HostAppliance(tmp_path / "box", disk_bytes=0) as box:
        box.log_in()
        assert "connect a disk" in box.run("client add anna") and box.json("disk format")["error"] == "NO_DISK"
        document = Pc("anna", tmp_path / "anna").run(
            "pair", "0000-0000-0000-0000", "--host", "127.0.0.1:%d" % box.port, expect=range(1, 99)
        )
        assert document["error"]["name"] in ("NO_DISK", "CERTIFICATE")


def test_full_disk_refuses_the_backup_and_keeps_the_rest(tmp_path):
    with HostAppliance(tmp_path / "box", disk_bytes=128 << 20) as box:
        box.log_in()
        box.format_disk()
        pc = Pc("anna", tmp_path / "anna").pair(box)
        small = odd_tree(tmp_path / "small")
        view = pc.run("backup", str(small))["view"]
        big = tmp_path / "big"
        big.mkdir()
        for number in range(8):
            (big / str(number)).write_bytes(random.Random(number).randbytes(20 << 20))
        assert pc.run("backup", str(big), expect=(STATUS["FULL"],))["error"]["name"] == "FULL"
        assert [row["view"] for row in box.json("show views")["views"]] == [view]
        pc.restores(small, tmp_path / "back", view)
