"""fda.regions against a set of bytes; the choice rule."""

from hypothesis import given
from hypothesis import strategies as st

from agent_pc.fda.ranges import Journal, RangeTracking
from agent_pc.fda.regions import Regions
from agent_pc.fda.rule import Rule, why_sfp

_RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)).map(lambda row: (row[0], row[0] + row[1])), max_size=30)


@given(_RANGES, st.integers(0, 250), st.integers(0, 250))
def test_regions_are_a_set_of_bytes(ranges, low, high):
    low, high = sorted((low, high))
    model = {at for start, end in ranges for at in range(start, end)}
    made = Regions(ranges)
    assert {at for start, end in made for at in range(start, end)} == model
    assert made.bytes == len(model)
    rows = list(made)
    assert all(start < end for start, end in rows) and all(one[1] < two[0] for one, two in zip(rows, rows[1:], strict=False))
    assert {at for start, end in made.within(low, high) for at in range(start, end)} == model & set(range(low, high))
    assert {at for start, end in made.outside(low, high) for at in range(start, end)} == set(range(low, high)) - model


@given(_RANGES)
def test_too_many_ranges_become_coarser_and_lose_nothing(ranges):
    scaled = [(start << 16, end << 16) for start, end in ranges]
    exact, made = Regions(scaled), Regions(scaled, limit=4)
    assert len(made) <= 4
    assert all(made.within(start, end) == [(start, end)] for start, end in exact)


def test_rule_of_the_patent():
    rule = Rule(least_bytes=1000, share=0.1, absolute_bytes=5000, every=3)
    tenth = Regions([(0, 1000)])
    assert why_sfp(rule, tenth, 10_000, 0) == ""
    assert "much" in why_sfp(rule, Regions([(0, 1001)]), 10_000, 0)
    assert why_sfp(rule, Regions([(0, 5000)]), 10_000, 0) == ""  # a large change: SFP would compute for long
    assert "small" in why_sfp(rule, tenth, 999, 0)
    assert "turn" in why_sfp(rule, tenth, 10_000, 2)
    assert why_sfp(Rule(**{**vars(rule), "every": 0}), tenth, 10_000, 99) == ""
    assert "known" in why_sfp(rule, None, 10_000, 0)


def test_range_tracking_needs_a_journal():
    class Written(Journal):
        def __init__(self):
            self.rows: list = []

        def position(self, handle):
            return len(self.rows)

        def extents(self, handle, since, until):
            return self.rows[since:until]

    assert RangeTracking().moment(b"/a", 0) is None
    journal = Written()
    tracking = RangeTracking(journal)
    tracking.moment(b"/a", 0).keep(b"s")
    journal.rows += [(100, 10), (105, 20)]
    assert tracking.moment(b"/a", 0).changed(b"s") == Regions([(100, 125)])
    assert tracking.moment(b"/a", 0).changed(b"t") is None
    tracking.drop(b"s")
    assert tracking.moment(b"/a", 0).changed(b"s") is None
