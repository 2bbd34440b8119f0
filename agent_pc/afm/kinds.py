"""Databases, and what of them must be backed up as of one moment. Called by afm.waiting for each listed directory.

SQLite, PostgreSQL and MySQL are recognised by content, the Windows ones by name: their files are held open there.
"""

import os
import re
from collections import defaultdict

_SQLITE = b"SQLite format 3\0"
_WAL, _JOURNAL = b"-wal", b"-journal"


class Kind:
    """`anchors`: members that must not change while the others are frozen one by one, `last`: what is frozen last; both are paths
    below the directory of the group. With them the database's own log makes the rest whole; without, no member may change.

    `ignored`: what the database does not need, by path; it may change.
    """

    def __init__(self, name: str, anchors: tuple = (), last: tuple = (), ignored: tuple = ()):
        self.name = name
        self.anchors = anchors
        self.last = last
        self.ignored = ignored


SQLITE = Kind("SQLite")
# Redo starts where pg_control says; pages that change after that are whole in the log. So: pg_control, the pages, the log.
POSTGRESQL = Kind(
    "PostgreSQL",
    (b"global/pg_control",),
    (b"pg_wal", b"pg_xlog"),
    (b"postmaster.pid", b"log", b"pg_log", b"pg_stat", b"pg_stat_tmp"),
)
MYSQL = Kind("MySQL")

# Kind, names that are all in the directory ("a|b": one of them); the directory and everything below is the group
TREES = (
    (POSTGRESQL, (b"PG_VERSION", b"global", b"base", b"pg_wal|pg_xlog")),
    (MYSQL, (b"ibdata1", b"ib_logfile0|#innodb_redo", b"mysql|performance_schema")),
)

# Kind, pattern of its members' names; those with the same `stem` are a group if they have different endings. What is always one file
# (Outlook, Notes) needs no group.
NAMES = (
    (Kind("SQL Server"), re.compile(rb"(?P<stem>.+?)(_log|_data)?\.(mdf|ndf|ldf)$", re.I | re.S)),
    (Kind("Exchange"), re.compile(rb"(?P<stem>)(.+\.(edb|stm)|e\d\d.*\.(log|chk))$", re.I | re.S)),
    (Kind("registry"), re.compile(rb"(?P<stem>.+\.dat|system|software|sam|security|default)(\.log\d?)?$", re.I | re.S)),
    (Kind("Access"), re.compile(rb"(?P<stem>.+)\.(mdb|ldb|accdb|laccdb)$", re.I | re.S)),
    (Kind("Oracle"), re.compile(rb"(?P<stem>)(.+\.(dbf|ctl)|redo\w*\.log)$", re.I | re.S)),
)

# How a name ends that makes a directory worth a closer look: one test for each file of the backup.
_END_BYTES = 4
_ENDS = frozenset(b"-wal rnal sion ata1 .mdf .edb log1 .mdb ccdb .ctl".split())


class Found:
    """A group in a directory. `names`: of its files, also of some that may appear; None: everything in and below it."""

    def __init__(self, kind: Kind, names: list | None):
        self.kind = kind
        self.names = names


def recognise(path: bytes, names: list) -> list:
    """[Found] in the directory `path` that lists `names`."""
    if not any(name[-_END_BYTES:].lower() in _ENDS for name in names):
        return []
    listed = set(names)
    for kind, wanted in TREES:
        if all(any(name in listed for name in row.split(b"|")) for row in wanted):
            return [Found(kind, None)]
    return [*_sqlite_groups(path, listed), *_named_groups(names)]


def _sqlite_groups(path: bytes, listed: set) -> list:
    """A database without its log or journal is none of these: it is one file, and at rest."""
    bases = {name[: -len(end)] for name in listed for end in (_WAL, _JOURNAL) if name.endswith(end)}
    return [sqlite_group(base) for base in sorted(bases & listed) if is_sqlite(os.path.join(path, base))]


def sqlite_group(base: bytes) -> Found:
    """In WAL mode the database must not change while it and then the log are frozen: the log is only added to."""
    return Found(Kind(SQLITE.name, (base,), (base + _WAL,)), [base, base + _JOURNAL, base + _WAL])


def _named_groups(names: list) -> list:
    found = []
    for kind, pattern in NAMES:
        stems = defaultdict(list)
        for name in names:
            match = pattern.match(name)
            if match:
                stems[match["stem"].lower()].append(name)
        found += [Found(kind, group) for group in stems.values() if len({_ending(name) for name in group}) > 1]
    return found


def _ending(name: bytes) -> bytes:
    return os.path.splitext(name)[1].lower()


def is_sqlite(path: bytes) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return sqlite(handle)
    finally:
        os.close(handle)


def sqlite(handle: int) -> bool:
    """Whether an open file is an SQLite database. Ref: sqlite.org/fileformat2.html, 1.3."""
    try:
        return os.pread(handle, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False
