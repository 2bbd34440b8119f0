"""The store's upkeep on the host board with real agents: the catalog lost and rebuilt, damage found and explained."""

import subprocess

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
