"""The cost of a merge follows what changed: nodes read and bytes written, not time."""

import asyncio

from tests.bench.merge import measure


def test_twice_or_eight_times_the_files_cost_hardly_more():
    small = asyncio.run(measure(1000, 10))
    large = asyncio.run(measure(8000, 10))
    assert 0 < small["nodes_read"] <= 2 * 3 * 10 + 2
    assert large["nodes_read"] <= 2 * 3 * 10 + 2, "more than the directories on the way to ten changes, in two trees"
    assert large["bytes_written"] <= 2 * small["bytes_written"]


def test_what_did_not_change_is_not_read():
    same = asyncio.run(measure(2000, 0))
    assert same["nodes_read"] == 0


def test_more_changes_cost_more():
    assert asyncio.run(measure(4000, 80))["nodes_read"] > 3 * asyncio.run(measure(4000, 8))["nodes_read"]
