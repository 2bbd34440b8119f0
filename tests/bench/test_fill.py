"""What the filler of `build.py bench scale` sends is what an agent lists and restores."""

from agent_pc import state
from tests.bench.scale.fill import Filler, Plan
from tests.chain.pc import Pc
from tests.lab.appliance import HostAppliance


def test_filled_views_are_real(tmp_path):
    with HostAppliance(tmp_path / "appliance") as box:
        box.log_in()
        box.format_disk()
        pc = Pc("pc", tmp_path / "pc").pair(box)
        held = state.load(str(tmp_path / "pc"))
        filler = Filler(("127.0.0.1", box.port), (held.client, held.token), Plan(9000, 2, 0.1), 1)
        assert (filler.first(), filler.next()) == (1, 2)
        filler.close()
        assert [view["files"] for view in pc.run("views")["views"]] == [9000, 9000]
        listed = pc.run("ls", "/scale/0001/0035", "--view", "2")["entries"]
        assert [row["name"] for row in listed] == ["file-%06d.txt" % number for number in range(250)]
        assert [change["change"] for change in pc.run("diff", "1", "2")["changes"]] == ["changed"]
        done = pc.run("restore", "/scale/0001", "--to", str(tmp_path / "back"), "--view", "2")
        assert (done["files"], done["bytes"], done["failed"]) == (1000, 40000, [])
