"""Merging on the real appliance process: the keeper runs, the console shows areas and merges now."""

from tests.lab.appliance import HostAppliance


def test_console_shows_areas_and_merges(tmp_path):
    with HostAppliance(tmp_path / "box") as box:
        box.log_in()
        box.format_disk()
        status = box.json("show disk")
        assert [row["area"] for row in status["areas"]] == ["full", "delta", "merge"]
        assert status["areas"][2]["quota_bytes"] == status["reserve_bytes"] > 0
        assert status["next_merge_ns"] > 0
        shown = box.run("show disk")
        assert "delta area" in shown and "next merge" in shown
        assert "keeper" in box.json("show version")["tasks"]
        assert box.json("store merge")["views"] == 0
        assert box.run("set keep.reserve_percent 10")
        assert box.json("show disk")["areas"][2]["quota_bytes"] > status["areas"][2]["quota_bytes"]
        assert box.stop() == 0
        assert "Traceback" not in box.log()
