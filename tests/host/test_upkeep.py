"""The store's upkeep on the host board with real agents: the catalog lost and rebuilt, damage found and explained."""

import os
import subprocess
import time

from firmware.formats import catalog as layout
from firmware.formats import disk as disk_format
from hal.linux.lmdb import Lmdb
from tests.chain.compare import differences
from tests.chain.pc import Pc
from tests.chain.sample import odd_tree
from tests.lab.appliance import HostAppliance


def rebuild(box) -> str:
    """Answers the question; what the console said."""
    box.console.line("disk rebuild")
    box.console.expect("to do it: ")
    box.console.line("REBUILD")
    said = box.console.expect(r"The catalog holds (.*)\.", timeout_s=120).group(1)
    box.console.expect("bobbin> ")
    return said


def test_a_lost_catalog_is_rebuilt_and_every_view_comes_back(tmp_path):
    box = HostAppliance(tmp_path / "box")
    box.start()
    box.log_in()
    box.format_disk()
    anna, bert = Pc("anna", tmp_path / "anna").pair(box), Pc("bert", tmp_path / "bert").pair(box)
    tree = odd_tree(tmp_path / "tree")
    first = anna.run("backup", str(tree))["view"]
    before = tmp_path / "before"
    subprocess.run(["cp", "-a", str(tree), str(before)], check=True)
    (tree / "new").write_text("new")
    second = anna.run("backup", str(tree))["view"]
    theirs = bert.run("backup", str(tree))["view"]
    views = box.ask("show views")["views"]
    assert box.ask("store check")["findings"] == []
    port = box.port
    assert box.stop() == 0
    catalog = [path for path in (tmp_path / "box").rglob("data.mdb") if path.parent.name == "catalog"]
    assert len(catalog) == 1
    catalog[0].unlink()
    box.start(port)
    try:
        box.log_in()
        assert any("disk rebuild" in warning for warning in box.ask("show status")["warnings"])
        assert "2 clients" in rebuild(box)
        assert box.ask("show views")["views"] == views
        assert box.ask("store check")["findings"] == []
        assert not any("disk rebuild" in warning for warning in box.ask("show status")["warnings"])
        for pc, view in ((anna, second), (bert, theirs)):
            pc.restores(tree, tmp_path / "back", view)
        anna.run("restore", "--view", str(first), "--to", str(tmp_path / "first"))
        assert differences(str(before), str(tmp_path / "first") + str(tree)) == []
        assert anna.run("backup", str(tree))["bytes_sent"] < 65536
        assert "Traceback" not in box.log()
        box.stop()
    finally:
        box.kill()


def spoil(box_folder, files: int) -> None:
    """Change bytes in the middle of the largest packs of chunks, in the file that is the appliance's disk. The appliance is off."""
    kv = Lmdb(str(next(box_folder.rglob("catalog"))), layout.TABLES, layout.DUPLICATES, read_only=True)
    txn = kv.begin()
    rows = [layout.PACK.unpack(value) for key, value in txn.scan(layout.PACKS, b"\0", b"\1")]
    nodes = [layout.PACK.unpack(value) for key, value in txn.scan(layout.PACKS, b"\2", b"\3")]
    txn.abort()
    kv.close()
    disk = max((path for path in box_folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    with open(disk, "r+b") as image:
        head = image.read(4 << 20)
        base = head.index(disk_format.SUPERBLOCK_MAGIC)
        superblock, _ = disk_format.SUPERBLOCK.unpack_from(head, base)
        for row in sorted(rows, key=lambda row: -row.length)[:files] + nodes[:1]:
            at = base + disk_format.SUPERBLOCK_BYTES + row.segment * superblock.segment_bytes + row.offset
            image.seek(at + row.length - 10)
            image.write(b"\xa5bit rot\xa5")


def scrub(box) -> int:
    """Packs damaged after a pass."""
    box.ask("disk scrub")
    deadline = time.monotonic() + 120
    while True:
        shown = box.ask("show disk")
        if not shown["scrub_running"]:
            return shown["damaged_packs"]
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def test_damage_is_found_named_and_healed_by_the_agent(tmp_path):
    box = HostAppliance(tmp_path / "box")
    box.start()
    box.log_in()
    box.format_disk()
    pc = Pc("anna", tmp_path / "anna").pair(box)
    tree = odd_tree(tmp_path / "tree")
    view = pc.run("backup", str(tree))["view"]
    port = box.port
    assert box.stop() == 0
    spoil(tmp_path / "box", 3)
    box.start(port)
    try:
        box.log_in()
        box.ask("set scrub.rate 1000000000")
        assert scrub(box) == 4
        report = box.ask("store damage")
        assert report["packs"] == 4 and report["files"] and not report["more"]
        assert {row["client"] for row in report["files"]} == {"anna"}
        for row in report["files"]:
            assert os.path.lexists(row["path"]) or row["path"] == "/" or str(tree).startswith(row["path"]), row
        assert "damage" in [row["finding"] for row in box.ask("store check")["findings"]]
        assert pc.run("backup", str(tree))["healed"] == 4
        assert scrub(box) == 0 and box.ask("store damage")["files"] == []
        assert box.ask("store check")["findings"] == []
        pc.restores(tree, tmp_path / "back", view)
        assert "Traceback" not in box.log()
        box.stop()
    finally:
        box.kill()
