"""agent_pc.fdm.known: a directory is recognised only if nothing in it changed, and a scan that recognises finds what one that compares does."""

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_pc.cache import Cache, NodeSource
from agent_pc.fdm import nodes
from agent_pc.fdm.counts import Counts
from agent_pc.fdm.exclude import Exclusions
from agent_pc.fdm.known import FIELDS, Known
from agent_pc.fdm.scan import Scan
from agent_pc.fdm.task import Directory, Task
from firmware.formats import dtf


class Pc:
    """Scans one folder time after time, and numbers nodes as an appliance does. `recognise`: with fdm.known."""

    def __init__(self, folder, recognise: bool = True):
        self.folder = os.fsencode(folder)
        self.recognise = recognise
        self.cache = Cache(None)
        self.group = 0
        self.entry: nodes.Entry | None = None  # of the folder
        self.asked: list = []  # nodes that were read
        self.heard: list = []  # paths of the directories that the sink heard of

    def scan(self, rules=(), status=lambda status: status, one: bool = False) -> Counts:
        """`status`: what reading a file says of it."""
        self.group += 1
        self.asked, self.heard, self._made = [], [], 0
        self._known = Known(self.cache, (tuple(rules), one))
        self._status = status
        self.counts = counts = Counts()
        scan = Scan(
            nodes.Tree(self._fetch),
            self._sink,
            counts,
            lambda path, text: None,
            one,
            Exclusions(rules),
            known=self._known if self.recognise else None,
        )
        self._way: list = []
        scan.run([self.folder], {self.folder: self.entry} if self.entry else {})
        name, ref, raw = next(row for row in self._way if row.path == self.folder).slot
        self.entry = nodes.Entry(nodes.REF.unpack(ref), nodes.HEAD.unpack_from(raw), name, raw)
        self.cache.commit(self.group, [])
        return counts

    def _fetch(self, refs: list):
        self.asked += refs
        return NodeSource(self.cache, None).fetch(refs)

    def _sink(self, event) -> None:
        if isinstance(event, Task):
            self._made += 1
            found = "modified" if event.modified else "new"
            setattr(self.counts, found, getattr(self.counts, found) + 1)
            event.finish((self.group, self._made), self._status(event.status), event.status.st_size, 0, dtf.QUIESCED)
        elif isinstance(event, Directory):
            self.heard.append(event.path)
            self._way += [event, *[row for row in event.rows if isinstance(row, Directory)]]
            parts: list = []
            slots = event.finish(lambda body: parts.append(self._emit(event, body)) or parts[-1])
            self._known.keep(event, slots, parts or list(event.digests.values()))

    def _emit(self, directory: Directory, body: bytes) -> bytes:
        old = directory.digests.get(hashlib.blake2b(body, digest_size=16).digest())
        if old is not None:
            return old
        self._made += 1
        self.cache.add_node((self.group, self._made), body)
        return nodes.REF.pack(dtf.NODE_REF, self.group, self._made)

    def tree(self) -> dict:
        """{path: bytes of the entry} of everything below the folder."""
        found, waiting = {}, [(b"", self.entry.ref)]
        tree = nodes.Tree(NodeSource(self.cache, None).fetch)
        while waiting:
            at, ref = waiting.pop()
            for entry in tree.directory(ref[1:]):
                path = at + b"/" + entry.name
                found[path] = entry.raw
                if entry.type == dtf.DIRECTORY:
                    waiting.append((path, entry.ref))
        return found


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "top"
    for name in ("a/one", "a/two", "a/deep/er/three", "b/four", b"b/\xff\xfe".decode("utf-8", "surrogateescape")):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"content")
    (top / "empty").mkdir()
    (top / "b/link").symlink_to("four")
    os.mkfifo(top / "b/fifo")
    return top


def _below(heard: list, folder) -> set:
    return {os.fsdecode(os.path.relpath(path, os.fsencode(folder))) for path in heard if path.startswith(os.fsencode(folder))}


def test_an_unchanged_tree_is_not_read_and_nobody_hears_of_it(folder):
    pc = Pc(folder)
    first = pc.scan()
    assert (first.new, first.others) == (5, 2)
    tree = pc.tree()
    again = pc.scan()
    assert (again.new, again.unchanged, again.others, again.bytes) == (0, first.new, first.others, first.bytes)
    assert again.directories == first.directories
    assert pc.asked == [] and _below(pc.heard, folder) == set() and pc.tree() == tree


def _same_size(path) -> None:
    status = os.stat(path)
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replaced(path) -> None:
    shutil.copy2(path, path.with_name("new"))
    os.rename(path.with_name("new"), path)


def _socket(path) -> None:
    path.unlink()
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.close()


_CHANGES = {
    "written": lambda path: path.write_bytes(b"something longer"),
    "written, same size and time": _same_size,
    "replaced": _replaced,
    "time": lambda path: os.utime(path, ns=(1, 1)),
    "mode": lambda path: path.chmod(0o600),
    "owner": lambda path: os.chown(path, os.geteuid(), os.getegid()),
    "attribute": lambda path: os.setxattr(path, "user.note", b"x"),
    "another name": lambda path: os.link(path, path.with_name("zwei")),
    "renamed": lambda path: path.rename(path.with_name("other")),
    "gone": lambda path: path.unlink(),
    "new": lambda path: path.with_name("new").write_bytes(b""),
    "a directory now": lambda path: (path.unlink(), path.mkdir()),
    "a link now": lambda path: (path.unlink(), path.symlink_to("two")),
    "a socket now": _socket,
}


@pytest.mark.parametrize("change", _CHANGES)
def test_every_change_is_seen(folder, change):
    pc, slow = Pc(folder), Pc(folder, recognise=False)
    for each in (pc, slow):
        each.scan()
        each.scan()
    try:
        _CHANGES[change](folder / "a" / "one")
    except OSError:
        pytest.skip("not on this filesystem")
    assert vars(pc.scan()) == vars(slow.scan())
    assert {"a", "."} <= _below(pc.heard, folder) and not {"b", "a/deep", "a/deep/er"} & _below(pc.heard, folder)
    assert pc.tree() == slow.tree()
    pc.scan()
    assert pc.asked == [] and _below(pc.heard, folder) == set()


def test_a_change_far_below_opens_what_is_above_it_only(folder):
    pc = Pc(folder)
    pc.scan()
    pc.scan()
    (folder / "a/deep/er/three").write_bytes(b"other")
    counts = pc.scan()
    assert (counts.modified, counts.unchanged) == (1, 4)
    assert _below(pc.heard, folder) == {"a/deep/er", "a/deep", "a", "."}
    assert len(pc.asked) == 4


def _status(**fields):
    return SimpleNamespace(**{**dict.fromkeys(FIELDS, 7), **fields})


def test_every_field_of_a_stat_counts():
    known = Known(Cache(None), ())
    plain = known._digest(b"/p", ["name"], [_status()])
    assert plain == known._digest(b"/p", ["name"], [_status()])
    others = [known._digest(b"/p", ["name"], [_status(**{field: 8})]) for field in FIELDS]
    others += [known._digest(b"/q", ["name"], [_status()]), known._digest(b"/p", ["nam"], [_status()])]
    others += [known._digest(b"/p", ["name", "other"], [_status(), _status()]), Known(Cache(None), (1,))._digest(b"/p", [], [])]
    assert len({plain, *others}) == len(others) + 1
    listed = {field for field in dir(os.stat_result) if field.startswith("st_")}
    without = {"st_atime", "st_atime_ns", "st_mtime", "st_ctime", "st_blocks", "st_blksize"}  # said by others, or by no change
    assert listed - without == set(FIELDS)


def test_a_time_that_cannot_be_trusted_is_not_kept(folder):
    """A write within the same tick of the clock as the reading would not show: the entry says so, and that is the listing's end."""
    pc = Pc(folder)

    def dated(status):
        more = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        return os.stat_result(tuple(status), {**more, "st_ctime_ns": status.st_ctime_ns - 1})

    pc.scan(status=dated)
    again = pc.scan()
    assert (again.modified, again.unchanged) == (5, 0) and {"a", "b", "a/deep/er"} <= _below(pc.heard, folder)
    assert pc.scan().unchanged == 5 and pc.asked == []


def test_what_is_left_out_may_change_but_not_its_kind(folder):
    rules = ("*.tmp", "made/")
    (folder / "a/made").mkdir()
    (folder / "a/x.tmp").write_bytes(b"1")
    pc = Pc(folder)
    first = pc.scan(rules)
    assert first.excluded == 2
    (folder / "a/x.tmp").write_bytes(b"22")
    (folder / "a/made/more").write_bytes(b"")
    os.utime(folder / "a", ns=(1, 1))  # only its entry
    assert pc.scan(rules).excluded == 2
    assert _below(pc.heard, folder) == {"."} and len(pc.asked) == 1
    (folder / "a/made/more").unlink()
    (folder / "a/made").rmdir()
    (folder / "a/made").write_bytes(b"a file of this name is not left out")
    counts = pc.scan(rules)
    assert (counts.new, counts.excluded) == (1, 1)
    (folder / "a/y.tmp").write_bytes(b"1")
    assert pc.scan(rules).excluded == 2


def test_nothing_is_asked_about_what_is_left_out(folder, monkeypatch):
    """It may be a mount whose server is away."""
    (folder / "a/away").mkdir()
    pc = Pc(folder)
    pc.scan(("away",))
    names: list = []
    monkeypatch.setattr("agent_pc.fdm.known._STAT", lambda entry: names.append(entry.name) or entry.stat(follow_symlinks=False))
    pc.scan(("away",))
    assert "one" in names and "away" not in names


def test_other_rules_are_another_matter(folder):
    pc = Pc(folder)
    pc.scan()
    counts = pc.scan(("one",))
    assert (counts.excluded, counts.deleted) == (1, 1) and {"a"} <= _below(pc.heard, folder)
    pc.scan(("one",))
    assert pc.asked == []
    assert pc.scan().new == 1


def test_a_tagged_cache_is_looked_at_each_time(folder):
    (folder / "a/CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    pc = Pc(folder)
    assert pc.scan().excluded == 3
    (folder / "a/CACHEDIR.TAG").write_bytes(b"Signature: none")
    assert pc.scan().excluded == 0
    assert pc.scan().excluded == 0 and pc.asked == []


def test_a_large_directory_keeps_all_its_nodes(tmp_path):
    folder = tmp_path / "top"
    folder.mkdir()
    for number in range(2500):
        (folder / f"{number:05}").touch()
    pc = Pc(folder)
    pc.scan()
    assert pc._made > 2
    held = pc.cache._db.execute("SELECT count(*) FROM node").fetchone()[0]
    pc.cache.rollback()  # what is used is counted anew
    assert pc.scan().unchanged == 2500 and pc.asked == []
    assert len(pc.cache._used) >= held - 2  # the way to it is made anew


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
def test_a_directory_with_a_mount_point_is_compared(folder):
    pc = Pc(folder)
    subprocess.run(["mount", "-t", "tmpfs", "none", folder / "a/deep"], check=True)
    try:
        pc.scan()
        pc.scan(one=True)
        assert pc.scan(one=True).files == 4
        assert len(pc.asked) == 3  # the top, a, and the empty directory that stands for the mount
    finally:
        subprocess.run(["umount", folder / "a/deep"], check=True)
    assert pc.scan(one=True).new == 1
    assert pc.scan(one=True).new == 0 and pc.asked == []


# -- against a scan that compares everything

_NAMES = st.sampled_from(("a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/f/a", "g/a", "x.tmp", "d/x.tmp"))
_DEEDS = st.sampled_from(("write", "again", "remove", "mkdir", "chmod", "touch", "link", "rename", "rmtree"))


def _do(top: str, deed: str, name: str, other: str) -> None:
    path, target = os.path.join(top, name), os.path.join(top, other)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if deed in ("write", "again"):
        with open(path, "w" if deed == "write" else "a") as file:
            file.write(other)
    elif deed == "remove":
        os.unlink(path)
    elif deed == "mkdir":
        os.mkdir(path)
    elif deed == "chmod":
        os.chmod(path, 0o700)
    elif deed == "touch":
        os.utime(path)
    elif deed == "link":
        os.link(path, target)
    elif deed == "rename":
        os.rename(path, target)
    else:
        shutil.rmtree(path)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(_DEEDS, _NAMES, _NAMES), max_size=6), min_size=1, max_size=6))
def test_a_scan_that_recognises_finds_what_one_that_compares_does(rounds):
    with tempfile.TemporaryDirectory() as top:
        fast, slow = Pc(top), Pc(top, recognise=False)
        for deeds in rounds:
            for deed, name, other in deeds:
                try:
                    _do(top, deed, name, other)
                except OSError:
                    pass  # not possible now
            assert vars(fast.scan(("*.tmp",))) == vars(slow.scan(("*.tmp",)))
            assert fast.tree() == slow.tree()
