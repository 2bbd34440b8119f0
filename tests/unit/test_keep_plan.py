"""The planner of merges: a simulated year, a table of cases, clocks that jump. Runs on both interpreters."""

from firmware.formats import catalog as layout
from firmware.store import keep_plan
from firmware.store.keep_plan import DAY_NS, Policy, View

H, D, B = layout.HOURLY, layout.DAILY, layout.BASELINE
_HOUR = DAY_NS // 24
_START = 20000 * DAY_NS  # midnight, 2024-10-04


def carry_out(views: list, steps: list) -> list:
    """The views after the steps; every step joins neighbours, oldest first."""
    for step in steps:
        numbers = [view.number for view in views]
        at = numbers.index(step.numbers[0])
        assert numbers[at : at + len(step.numbers)] == step.numbers, "views that are not neighbours are joined"
        last = views[at + len(step.numbers) - 1]
        views = views[:at] + [View(last.number, step.kind, last.time_ns)] + views[at + len(step.numbers) :]
    return views


def kinds(views: list) -> str:
    return "".join(["hdb"[view.kind] for view in views])


def simulate(policy, times: list, merges: list) -> list:
    """Views after backups at `times` and a merge at each of `merges`; gives [(time of merge, views then)]."""
    views, seen, number = [], [], 0
    waiting = list(times)
    for now in merges:
        while waiting and waiting[0] <= now:
            number += 1
            views.append(View(number, H, waiting.pop(0)))
        newest = max([view.time_ns for view in views if view.time_ns <= now] or [0])
        when = keep_plan.present(now, newest)
        views = carry_out(views, keep_plan.plan(policy, views, when))
        assert keep_plan.plan(policy, views, when) == [], "a second plan right after the first finds work"
        seen.append((now, list(views)))
    return seen


def test_a_year_of_hourly_backups():
    times = [_START + hour * _HOUR + 60 for hour in range(365 * 24)]
    merges = [_START + day * DAY_NS + 86399 * 1000000000 for day in range(365)]
    seen = simulate(Policy(), times, merges)
    for day, (now, views) in enumerate(seen):
        text = kinds(views)
        assert text == "b" * text.count("b") + "d" * text.count("d") + "h" * text.count("h"), text
        assert text.count("b") <= 1 and text.count("h") == 0 and text.count("d") <= 29, text
        assert views[-1].number == 24 * (day + 1), "the newest view is not what the last backup was"
        if day >= 30:
            dailies = [now - view.time_ns for view in views if view.kind == D]
            assert max(dailies) >= 13 * DAY_NS, "less than two weeks of daily views"
            assert len({view.time_ns // DAY_NS for view in views if view.kind == D}) == text.count("d"), "two of one day"
    assert len(seen[-1][1]) <= 30


def test_every_day_keeps_its_last_view():
    times = [_START + day * DAY_NS + hour * _HOUR for day in range(10) for hour in (9, 12, 17)]
    views = simulate(Policy(), times, [_START + 10 * DAY_NS])[0][1]
    assert kinds(views) == "d" * 10 and [view.number for view in views] == [3 * day + 3 for day in range(10)]


def test_the_merge_time_ends_the_day():
    policy = Policy(merge_minute=21 * 60)  # a day in UTC+3 that ends at midnight there
    times = [_START + hour * _HOUR for hour in (12, 20, 22, 23)]
    views = simulate(policy, times, [_START + 24 * _HOUR])[0][1]
    assert kinds(views) == "dhh" and views[0].number == 2
    assert policy.next_merge_ns(_START + 20 * _HOUR) == _START + 21 * _HOUR
    assert policy.next_merge_ns(_START + 21 * _HOUR) == _START + 45 * _HOUR


# times in hours from _START, kinds, now in hours, policy -> [(numbers, kind)]
_CASES = (
    ((), "", 30, {}, []),
    ((1, 2), "hh", 3, {}, []),
    ((1, 2), "hh", 24, {}, [([1, 2], D)]),
    ((1,), "h", 24, {}, [([1], D)]),
    ((1,), "d", 24, {}, []),
    ((1, 2, 25), "hhh", 26, {}, [([1, 2], D)]),
    ((1, 2, 25), "hhh", 26, {"hourly_days": 1}, []),
    ((1, 2, 25), "hhh", 50, {"hourly_days": 1}, [([1, 2], D)]),
    ((1, 25, 49), "ddd", 27 * 24, {}, []),
    ((1, 25, 49), "ddd", 28 * 24 + 1, {}, [([1, 2, 3], B)]),
    ((1, 25, 20 * 24), "bdd", 29 * 24 + 1, {}, [([1, 2], B)]),
    ((1, 25, 20 * 24), "bdd", 27 * 24, {}, []),
    ((1, 25), "dd", 40, {"daily_days": 1, "fold_days": 9}, [([1], B)]),  # today's view is no business of the baseline
    ((1, 2, 900000, 3), "hhhh", 25, {}, [([1, 2, 3, 4], D)]),  # one view from the year 2126
    ((1, 30, 2, 55), "hhhh", 56, {}, [([1], D), ([2, 3], D)]),  # a PC whose clock went back
    ((900000, 1, 2), "hhh", 3, {}, []),
    ((900000, 900001), "hh", 3, {}, []),
)


def test_table():
    for hours, text, now, policy, expected in _CASES:
        views = [View(i + 1, "hdb".index(kind), _START + hours[i] * _HOUR) for i, kind in enumerate(text)]
        got = [(step.numbers, step.kind) for step in keep_plan.plan(Policy(**policy), views, _START + now * _HOUR)]
        assert got == expected, (hours, text, now, policy, got)


def test_attics_age():
    policy = Policy(deleted_days=10)
    now = _START + 20 * DAY_NS
    views = [View(1, B, _START, now - 11 * DAY_NS), View(2, D, now - DAY_NS, now - 9 * DAY_NS)]
    steps = keep_plan.plan(policy, views, now)
    assert [(step.numbers, step.kind, step.limit_ns) for step in steps] == [([1], B, now - 10 * DAY_NS)]


def test_an_appliance_whose_clock_jumps_merges_no_history_away():
    times = [_START + day * DAY_NS for day in range(20)]
    merges = [_START + 20 * DAY_NS, _START + 4000 * DAY_NS, _START - 15000 * DAY_NS]
    seen = simulate(Policy(), times, merges)
    for _, views in seen:
        assert len(views) == 20 and B not in [view.kind for view in views]


def test_urgent_joins_the_two_oldest_but_not_the_last_day():
    views = [View(i + 1, H, _START + i * DAY_NS) for i in range(4)]
    now = _START + 4 * DAY_NS
    joined = []
    while True:
        found = keep_plan.urgent(Policy(), views, now)
        if found is None:
            break
        joined.append(found[1].numbers)
        views = carry_out(views, [found[1]])
    assert joined == [[1, 2], [2, 3], [3, 4]] and kinds(views) == "b"
    assert keep_plan.urgent(Policy(urgent_days=2), [View(1, H, now - DAY_NS), View(2, H, now)], now) is None
