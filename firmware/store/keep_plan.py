"""What to merge when: a pure function of policy, views and time. Used by keep.py.

A day ends at the merge time. Of each closed day one view stays, the daily; when the oldest daily is `daily_days` old, the dailies of
the oldest `fold_days` go into the baseline; what was deleted more than `deleted_days` ago goes. Times of views come from the PCs'
clocks and `now` from the appliance's, and both jump: see `days` and `present`.
"""

from firmware.formats import catalog as layout

DAY_NS = 86400 * 1000000000
_MINUTE_NS = 60 * 1000000000
_IDLE_DAYS = 2


class Policy:
    """The settings `keep.*` as numbers."""

    def __init__(self, merge_minute=1439, hourly_days=0, daily_days=28, fold_days=14, deleted_days=30, urgent_days=1):
        self.merge_minute = merge_minute
        self.hourly_days = hourly_days
        self.daily_days = daily_days
        self.fold_days = fold_days
        self.deleted_days = deleted_days
        self.urgent_days = urgent_days

    def day(self, time_ns: int) -> int:
        """Number of the day that `time_ns` lies in."""
        return (time_ns - self.merge_minute * _MINUTE_NS) // DAY_NS

    def next_merge_ns(self, now_ns: int) -> int:
        return (self.day(now_ns) + 1) * DAY_NS + self.merge_minute * _MINUTE_NS


class View:
    """What the planner needs of a view."""

    def __init__(self, number: int, kind: int, time_ns: int, attic_ns: int = 0):
        self.number = number
        self.kind = kind
        self.time_ns = time_ns
        self.attic_ns = attic_ns  # oldest deletion in its attic, 0 if there is none


class Fold:
    """One step: the views `numbers`, oldest first, become the last of them, of kind `kind`; entries deleted before `limit_ns` go."""

    def __init__(self, numbers: list, kind: int, limit_ns: int):
        self.numbers = numbers
        self.kind = kind
        self.limit_ns = limit_ns

    def __repr__(self) -> str:
        return "Fold(%s, %s)" % (self.numbers, layout.VIEW_NAMES[self.kind])


def present(now_ns: int, newest_ns: int) -> int:
    """The time that counts: never far ahead of the newest view of all clients, so that a clock that jumped ahead ages nothing.

    newest_ns: of the views that are not after now_ns, 0 if there is none.
    """
    return min(now_ns, newest_ns + _IDLE_DAYS * DAY_NS)


def days(policy: Policy, views: list, now_ns: int) -> list:
    """The day of each view, never falling: a view of the future or from before its predecessor counts as of its predecessor's day.

    A view that starts with a wrong future has none before it: it counts as of its successor's day, and the last as of today.
    """
    found = []
    last = None
    for view in views:
        if view.time_ns <= now_ns:
            day = policy.day(view.time_ns)
            last = day if last is None else max(last, day)
        found.append(last)
    known = [day for day in found if day is not None]
    first = known[0] if known else policy.day(now_ns)
    return [first if day is None else day for day in found]


def plan(policy: Policy, views: list, now_ns: int) -> list:
    """[Fold] that one client's `views` [View], oldest first, need now. Doing them all, nothing is left to do."""
    if not views:
        return []
    limit_ns = now_ns - policy.deleted_days * DAY_NS
    today = policy.day(now_ns)
    parts = _parts(policy, views, days(policy, views, now_ns), today)
    return [Fold(numbers, kind, limit_ns) for numbers, kind, needed in parts if needed or _is_due(views, numbers, limit_ns)]


def _parts(policy: Policy, views: list, when: list, today: int) -> list:
    """[(numbers, kind, needed)]: the views in groups that are or become one view each."""
    folded = None
    if _overdue(policy, views, when, today):
        folded = min(today - policy.daily_days + policy.fold_days, today - policy.hourly_days)
    parts = []
    last = None
    for view, day in zip(views, when):
        if view.kind == layout.BASELINE or (folded is not None and day < folded):
            key, kind = "baseline", layout.BASELINE
        elif day < today - policy.hourly_days:
            key, kind = day, layout.DAILY
        else:
            key, kind = None, view.kind
        if key is not None and key == last:
            numbers, _, _ = parts.pop()
            parts.append((numbers + [view.number], kind, True))
        else:
            parts.append(([view.number], kind, view.kind != kind))
        last = key
    return parts


def _overdue(policy: Policy, views: list, when: list, today: int) -> bool:
    """Whether a view that is not in the baseline yet is `daily_days` old."""
    return any([view.kind != layout.BASELINE and day <= today - policy.daily_days for view, day in zip(views, when)])


def _is_due(views: list, numbers: list, limit_ns: int) -> bool:
    """Whether the attic of the one view in `numbers` holds what is too old."""
    return any([view.number == numbers[0] and 0 < view.attic_ns < limit_ns for view in views])


def urgent(policy: Policy, views: list, now_ns: int):
    """(day of the second view, Fold) that joins a client's two oldest views into the baseline, or None: space is short."""
    if len(views) < 2:
        return None
    day = days(policy, views, now_ns)[1]
    if day > policy.day(now_ns) - policy.urgent_days:
        return None
    return day, Fold([views[0].number, views[1].number], layout.BASELINE, now_ns - policy.deleted_days * DAY_NS)
