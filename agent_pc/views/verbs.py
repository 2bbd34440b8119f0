"""The commands that look into views: `views`, `ls`, `find`, `diff`. Rows of the table in agent_pc/cli.py."""

import os

from agent_pc import listing, terminal
from agent_pc import state as states
from agent_pc.cache import Cache
from agent_pc.exits import STATUS
from agent_pc.fdm.nodes import TYPE_NAMES
from agent_pc.session import Session
from agent_pc.views import choose, sizes, when
from agent_pc.views.arguments import SOURCE, VIEW
from agent_pc.views.find import Filter


def _views(arguments) -> tuple:
    with Session.open(states.load(arguments.state)) as session:
        found = listing.views(session, arguments.source)
    lines = [f"tape {found['tape']}"] if found["tape"] else []
    lines += [
        f"{row['view']:>5}  {row['time']}  {row['files']:>9} files  {row['bytes']:>15} bytes  {row['label']}".rstrip()
        for row in found["views"]
    ]
    return 0, found, lines or ["no views yet"]


def _cached(held, what):
    """`what(cache)`: something that this PC remembers."""
    cache = Cache(held.cache_path)
    try:
        return what(cache)
    finally:
        cache.close()


def _ls(arguments) -> tuple:
    path = terminal.absolute(arguments.path)
    with Session.open(states.load(arguments.state)) as session:
        found = listing.ls(session, arguments.view, path, arguments.source, arguments.recursive)
    return _told(found, [listing.line(row) for row in found["entries"]])


def _told(found: dict, lines: list) -> tuple:
    terminal.complain(found["failed"])
    return STATUS["LOST"] if found["failed"] else 0, found, lines


def _find(arguments) -> tuple:
    wanted = Filter(
        [os.fsencode(pattern) for pattern in arguments.pattern],
        arguments.ignore_case,
        arguments.type,
        arguments.larger,
        arguments.smaller,
        arguments.newer and when.parse(arguments.newer)[1] - 1,
        arguments.older and when.parse(arguments.older)[0],
    )
    options = {
        "view": arguments.view,
        "under": terminal.absolute(arguments.under),
        "deleted": arguments.deleted,
        "every": arguments.versions,
    }
    held = states.load(arguments.state)
    sources = _cached(held, Cache.sources)
    with Session.open(held) as session:
        found = listing.find(session, options, wanted, sources, arguments.source)
    return _told(found, [listing.found_line(row) for row in found["found"]])


def _diff(arguments) -> tuple:
    with Session.open(states.load(arguments.state)) as session:
        found = listing.diff(session, arguments.old, arguments.new, terminal.absolute(arguments.path), arguments.source)
    return _told(found, [listing.change_line(row) for row in found["changes"]])


_TIME = {"metavar": "TIME"}
_SIZE = {"metavar": "SIZE", "type": sizes.argument}

VERBS = (
    (
        "views",
        _views,
        "list views; JSON: tape, views [{view, name, time, time_ns, files, bytes, stored_bytes, label}]",
        (SOURCE,),
    ),
    (
        "ls",
        _ls,
        "list a directory of a view; JSON: view, path, entries [{name, type, mode, uid, gid, size, mtime_ns ...}], failed",
        (
            ("path", {"nargs": "?", "default": "/", "metavar": "PATH"}),
            ("--recursive", {"action": "store_true", "help": "with everything below"}),
            VIEW,
            SOURCE,
        ),
    ),
    (
        "find",
        _find,
        "find files by name in all views, deleted ones too; JSON: found [{path, size, mtime_ns, first_view, last_view, deleted, "
        "versions ...}], failed",
        (
            ("pattern", {"nargs": "*", "metavar": "PATTERN", "help": "such as '*.doc'; of whole paths if it holds a slash"}),
            ("--under", {"metavar": "PATH", "default": "/", "help": "only below this directory"}),
            ("--deleted", {"action": "store_true", "help": "only what the newest view does not have any more"}),
            ("--versions", {"action": "store_true", "help": "every version of a file, not only its newest"}),
            ("--ignore-case", {"action": "store_true", "help": "*.doc finds A.DOC"}),
            ("--type", {"choices": TYPE_NAMES, "default": ""}),
            ("--larger", {**_SIZE, "help": "than SIZE bytes; 10k, 5M, 2G"}),
            ("--smaller", {**_SIZE, "help": "than SIZE bytes"}),
            ("--newer", {**_TIME, "help": f"modified after TIME: {when.FORMS}"}),
            ("--older", {**_TIME, "help": "modified before TIME"}),
            ("--view", {"metavar": "VIEW", "type": choose.argument, "help": "only in this view: a number, or a time"}),
            SOURCE,
        ),
    ),
    (
        "diff",
        _diff,
        "what differs between two views: + added, - removed, M changed, m metadata only; "
        "JSON: old, new, changes [{change, path, old, new}], failed",
        (
            ("old", {"metavar": "OLD", "type": choose.argument, "help": "a view's number, or a time"}),
            (
                "new",
                {
                    "metavar": "NEW",
                    "nargs": "?",
                    "default": "latest",
                    "type": choose.argument,
                    "help": "the same; default: the last view",
                },
            ),
            ("--path", {"metavar": "PATH", "default": "/", "help": "only below this path"}),
            SOURCE,
        ),
    ),
)
