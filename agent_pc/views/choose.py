"""Which view is meant: by number, by time, or the last; and what a view is called. Used by every command that reads views, and the mount."""

import argparse
import time

from agent_pc.exits import AgentError

LATEST = ("latest", "last")
FORMS = "2026-11-03, 2026-11-03 14:00, yesterday 14:00, last monday 9:00, 14:00, 3 days ago, now"


def stamp(time_ns: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Local time, to the second; a number out of any calendar stays one."""
    try:
        return time.strftime(form, time.localtime(time_ns // 1_000_000_000))
    except (OverflowError, ValueError, OSError):
        return str(time_ns)


def choose(views: list, wanted: int | str | None):
    """The wire.VIEW that `wanted` names: a number, a time (the last view up to then), None: the last. Raises AgentError NOT_FOUND, USAGE."""
    if not views:
        raise AgentError("NOT_FOUND", "no view yet: nothing was backed up from this client")
    text = "latest" if wanted is None else str(wanted).strip()
    if text.lower() in LATEST:
        return max(views, key=lambda view: (view.time_ns, view.view))
    if text.isascii() and text.isdigit():
        return _numbered(views, int(text))
    _, end = _parsed(text)
    before = [view for view in views if view.time_ns < end]
    if before:
        return max(before, key=lambda view: (view.time_ns, view.view))
    first = min(view.time_ns for view in views)
    raise AgentError("NOT_FOUND", f"no view up to {text!r}: the first one is of {stamp(first)}")


def _parsed(text: str) -> tuple:
    """(first, end) in ns of a time."""
    from agent_pc.views import when  # only now: mostly it is the last view that is wanted

    return when.parse(text)


def _numbered(views: list, number: int):
    for view in views:
        if view.view == number:
            return view
    raise AgentError("NOT_FOUND", f"view {number}: no such view of this client; `bobbin views` lists them")


def names(views: list, known: dict | None = None) -> dict:
    """{view number: directory name}: local time, with the number where two would be called the same. Names in `known` stay."""
    found = dict(known or {})
    taken = set(found.values())
    for view in sorted(views):
        if view.view not in found:
            name = stamp(view.time_ns, "%Y-%m-%d_%H-%M-%S")
            found[view.view] = name if name not in taken else f"{name}_view{view.view}"
            taken.add(found[view.view])
    return found


def argument(text: str) -> str:
    """For argparse: a number, a time or "latest", as it is."""
    if text.lower() not in LATEST and not (text.isascii() and text.isdigit()):
        try:
            _parsed(text)
        except AgentError as error:
            raise argparse.ArgumentTypeError(f"view: a number, or a {error}") from None
    return text
