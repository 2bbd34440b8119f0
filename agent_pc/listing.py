"""What there is, as JSON and lines: views of this client, what is in them, found or changed. Called by agent_pc/views/verbs.py."""

from agent_pc.exits import AgentError
from agent_pc.fdm.metadata import GROUP, OWN, USER
from agent_pc.fdm.nodes import TYPE_NAMES, Tree, root
from agent_pc.terminal import failed_rows, path_text, printable, safe
from agent_pc.views import diff as differences
from agent_pc.views import walk
from agent_pc.views.choose import choose, stamp
from agent_pc.views.choose import names as view_names
from agent_pc.views.find import Filter, in_all, in_attics, in_view, newest, roots
from firmware.formats import dtf

LABELS = ("unguarded", "quiesced", "snapshot")
_LETTERS = "-dlpcbs"


def named(name: bytes) -> dict:
    """A name in JSON; with its bytes in hex where text cannot say them."""
    try:
        return {"name": name.decode()}
    except UnicodeError:
        return {"name": printable(name), "name_hex": name.hex()}


def views(session, source: str) -> dict:
    """{"tape": label or None, "views": [...]}."""
    tape, rows = session.views(source)
    called = view_names(rows)
    listed = [
        {
            "view": row.view,
            "name": called[row.view],
            "time": stamp(row.time_ns),
            "time_ns": row.time_ns,
            "files": row.files,
            "bytes": row.bytes,
            "stored_bytes": row.stored_bytes,
            "label": safe(row.label.rstrip(b"\0").decode("utf-8", "replace")),
        }
        for row in rows
    ]
    return {"tape": tape or None, "views": listed}


def ls(session, wanted, path: bytes, source: str, recursive: bool = False) -> dict:
    """{"view", "path", "entries": [...], "failed"} of a directory, or of one entry. Entries of a recursive listing have a "path"."""
    _, rows = session.views(source)
    view = choose(rows, wanted)
    tree = walk.open_tree(session, source)
    names, entry = walk.lookup(tree, view, path)
    failed: list = []
    if not walk.listable(entry):
        entries = [described(entry)]
    elif recursive:
        below = walk.below(tree, names, entry, lambda at, text: failed.append((full(at), text)))
        entries = sorted(({"path": printable(full(at)), **described(row)} for at, row in below), key=lambda row: row["path"])
    else:
        entries = [described(row) for row in tree.directory(entry.ref[1:])]
    return {"view": view.view, "path": printable(full(names)), "entries": entries, "failed": failed_rows(failed)}


def find(session, arguments: dict, wanted: Filter, sources: list, source: str) -> dict:
    """{"found": [...], "failed"}. `arguments`: view (None: all), under (bytes), deleted, every; `sources`: directories once backed up."""
    _, rows = session.views(source)
    view = choose(rows, arguments["view"])
    nodes = walk.Nodes(session, source)
    tree = Tree(nodes.fetch)
    failed: list = []

    def lost(at: tuple, text: str) -> None:
        failed.append((full(at), text))

    if arguments["view"] is not None:
        found = in_view(tree, view, arguments["under"], wanted, lost)
    else:
        starts = roots(sources, walk.components(arguments["under"]))
        found = in_all(nodes.fetch, tree, sorted(rows), starts, wanted, lost)
        known = {row.path for row in found}
        attics = in_attics(tree, sorted(rows), walk.components(arguments["under"]), wanted, lost)
        found += [row for row in attics if row.path not in known]
    found = sorted(found, key=lambda row: (row.path, row.last)) if arguments["every"] else newest(found)
    kept = [row for row in found if row.deleted or not arguments["deleted"]]
    return {"found": [_found(row) for row in kept], "failed": failed_rows(failed)}


def _found(row) -> dict:
    return {
        "path": printable(full(row.path)),
        **described(row.entry),
        "first_view": row.first,
        "last_view": row.last,
        "deleted": row.deleted,
        "versions": row.versions,
    }


def diff(session, old, new, path: bytes, source: str) -> dict:
    """{"old", "new": view numbers, "changes": [{"change", "path", "old", "new"}], "failed"} below a path that either view has."""
    _, rows = session.views(source)
    views = choose(rows, old), choose(rows, new)
    nodes = walk.Nodes(session, source)
    tree = Tree(nodes.fetch)
    names = walk.components(path)
    tops = walk.at(tree, [root(view) for view in views], names)
    if tops == [None, None]:
        raise AgentError("NOT_FOUND", f"{path_text(path)}: neither in view {views[0].view} nor in view {views[1].view}")
    failed: list = []
    changes = differences.diff(nodes.fetch, names, tops[0], tops[1], lambda at, text: failed.append((full(at), text)))
    found = sorted((change for change in changes if change.kind), key=lambda change: change.path)
    return {
        "old": views[0].view,
        "new": views[1].view,
        "changes": [_change(change) for change in found],
        "failed": failed_rows(failed),
    }


def _change(change) -> dict:
    sides = {"old": change.old, "new": change.new}
    return {
        "change": change.kind,
        "path": printable(full(change.path)),
        **{side: described(entry) if entry is not None else None for side, entry in sides.items()},
    }


def full(path: tuple) -> bytes:
    """Names as an absolute path."""
    return b"/" + b"/".join(path)


def described(entry) -> dict:
    """One entry for JSON."""
    extras = dict(entry.extras())
    out = {
        **named(entry.name),
        "type": TYPE_NAMES[entry.type],
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "user": printable(extras.get(USER, b"")),
        "group": printable(extras.get(GROUP, b"")),
        "size": entry.size,
        "mtime": stamp(entry.mtime_ns),
        "mtime_ns": entry.mtime_ns,
        "attributes": [printable(name) for name in extras if not name.startswith(OWN)],
    }
    if entry.type == dtf.REGULAR:
        out["label"] = LABELS[entry.label] if entry.label < len(LABELS) else str(entry.label)
        out["hard_link"] = bool(entry.flags & dtf.HARD_LINK)
        out["truncated"] = bool(entry.flags & dtf.TRUNCATED)
    if entry.type == dtf.SYMLINK:
        out["target"] = printable(entry.target)
    return out


def line(row: dict) -> str:
    """One entry as `ls -l` would."""
    letter = _LETTERS[TYPE_NAMES.index(row["type"])]
    owner = f"{row['user'] or row['uid']}:{row['group'] or row['gid']}"
    arrow = f" -> {row['target']}" if "target" in row else ""
    note = " (truncated)" if row.get("truncated") else ""
    name = safe(row.get("path") or row["name"])
    return f"{letter}{row['mode']} {owner:<17} {row['size']:>14} {row['mtime']} {row.get('label', '-'):<9} {name}{safe(arrow)}{note}"


def found_line(row: dict) -> str:
    """One row of `find`."""
    views = (
        f"view {row['last_view']}" if row["first_view"] == row["last_view"] else f"views {row['first_view']}-{row['last_view']}"
    )
    more = f", {row['versions']} versions" if row["versions"] > 1 else ""
    return f"{line(row)}  [{views}{more}{', deleted' if row['deleted'] else ''}]"


_MARKS = {differences.ADDED: "+", differences.REMOVED: "-", differences.CHANGED: "M", differences.METADATA: "m"}


def change_line(row: dict) -> str:
    """One row of `diff`."""
    slash = "/" if (row["new"] or row["old"])["type"] == "directory" else ""
    sizes = [str(side["size"]) for side in (row["old"], row["new"]) if side is not None and side["type"] == "file"]
    return f"{_MARKS[row['change']]} {safe(row['path'])}{slash}" + (
        f"  {' -> '.join(dict.fromkeys(sizes))} bytes" if sizes else ""
    )
