"""What there is: views of this client, and directories in them. `bobbin views`, `bobbin ls`."""

import os
import time

from agent_pc.fdm.base import root
from agent_pc.fdm.metadata import GROUP, OWN, USER
from agent_pc.fdm.nodes import TYPE_NAMES, Tree
from agent_pc.restore.job import choose, lookup
from firmware.formats import dtf, pack

LABELS = ("unguarded", "quiesced", "snapshot")
_LETTERS = "-dlpcbs"


def printable(name: bytes) -> str:
    """For people and JSON: bytes that are not UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def named(name: bytes) -> dict:
    """A name in JSON; with its bytes in hex where text cannot say them."""
    try:
        return {"name": name.decode()}
    except UnicodeError:
        return {"name": printable(name), "name_hex": name.hex()}


def views(session, source: str, labels: dict) -> dict:
    """{"tape": label or None, "views": [...]}; `labels` are those that this PC remembers."""
    tape, rows = session.views(source)
    listed = [
        {
            "view": row.view,
            "time": stamp(row.time_ns),
            "time_ns": row.time_ns,
            "files": row.files,
            "bytes": row.bytes,
            "stored_bytes": row.stored_bytes,
            "label": labels.get(row.view, ""),
        }
        for row in rows
    ]
    return {"tape": tape or None, "views": listed}


def stamp(time_ns: int) -> str:
    """Local time, to the second; a number out of any calendar stays one."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns // 1_000_000_000))
    except (OverflowError, ValueError, OSError):
        return str(time_ns)


def ls(session, number: int | None, path: bytes, source: str) -> dict:
    """{"view", "path", "entries": [...]} of a directory, or of one entry."""
    _, rows = session.views(source)
    view = choose(rows, number)
    tree = Tree(lambda refs: session.items(pack.NODES, refs, source))
    names, entry = lookup(tree, root(view), path)
    if entry.type == dtf.DIRECTORY and entry.ref[0] == dtf.NODE_REF:
        entries = tree.directory(entry.ref[1:])
    else:
        entries = [entry]
    return {"view": view.view, "path": printable(b"/" + b"/".join(names)), "entries": [described(row) for row in entries]}


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
    return f"{letter}{row['mode']} {owner:<17} {row['size']:>14} {row['mtime']} {safe(row['name'])}{safe(arrow)}{note}"


def safe(text: str) -> str:
    """Control characters of a name must not reach the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def path_text(path: bytes) -> str:
    """A path in an error line."""
    return safe(printable(path))


def absolute(path: str) -> bytes:
    return os.path.abspath(os.fsencode(path))
