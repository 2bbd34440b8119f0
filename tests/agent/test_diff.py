"""views.diff and views.find against plain models: dictionaries of paths."""

import stat

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_pc.fdm import nodes
from agent_pc.fdm.nodes import Entry
from agent_pc.mount.forest import Forest
from agent_pc.views import find as finding
from agent_pc.views import walk
from agent_pc.views.diff import ADDED, CHANGED, METADATA, REMOVED, diff
from firmware.formats import dtf, message

# A tree: {name: (contents, mode) or tree}
_NAMES = st.sampled_from([b"%c" % letter for letter in b"abcdefgh"])
_FILES = st.tuples(st.integers(0, 3), st.sampled_from((0o644, 0o600)))
_TREES = st.recursive(
    st.dictionaries(_NAMES, _FILES, max_size=4), lambda below: st.dictionaries(_NAMES, below | _FILES, max_size=4)
)


class Held:
    """Nodes by content, as a backup that sends only new ones."""

    def __init__(self):
        self.bodies: list = []
        self.fetched: list = []
        self._known: dict = {}

    def emit(self, body: bytes) -> bytes:
        index = self._known.setdefault(body, len(self.bodies))
        if index == len(self.bodies):
            self.bodies.append(body)
        return nodes.REF.pack(dtf.NODE_REF, 1, index)

    def fetch(self, refs):
        self.fetched += refs
        return [self.bodies[index] for _, index in refs]

    def tree(self, tree: dict) -> bytes:
        slots = []
        for name, row in sorted(tree.items()):
            if isinstance(row, dict):
                slots.append((name, self.tree(row), _entry(dtf.DIRECTORY, name, 0o755)))
            else:
                slots.append((name, nodes.REF.pack(dtf.FILE, 2, row[0]), _entry(dtf.REGULAR, name, row[1])))
        return nodes.build(slots, self.emit)

    def top(self, tree: dict) -> Entry:
        return Entry(nodes.REF.unpack(self.tree(tree)), (dtf.DIRECTORY,) + (0,) * 13, b"", b"")


def _entry(type_: int, name: bytes, mode: int, flags: int = 0) -> bytes:
    class Status:
        st_mode = mode | stat.S_IFREG
        st_uid = st_gid = st_mtime_ns = st_ctime_ns = st_dev = st_ino = 0

    return nodes.pack_entry(type_, flags, 0, Status, name, b"", b"", 0)


def _flat(tree: dict, above: tuple = ()) -> dict:
    found = {}
    for name, row in tree.items():
        found[(*above, name)] = None if isinstance(row, dict) else row
        if isinstance(row, dict):
            found |= _flat(row, (*above, name))
    return found


def _expected(old: dict, new: dict) -> dict:
    old, new = _flat(old), _flat(new)
    out = dict.fromkeys(new.keys() - old.keys(), ADDED) | dict.fromkeys(old.keys() - new.keys(), REMOVED)
    for path in old.keys() & new.keys():
        was, now = old[path], new[path]
        if was != now:
            same_contents = was is not None and now is not None and was[0] == now[0]
            out[path] = METADATA if same_contents else CHANGED
    return out


def _never(path, text):
    raise AssertionError(text)


@settings(max_examples=300, deadline=None)
@given(_TREES, _TREES)
def test_diff_is_what_the_model_says(old, new):
    held = Held()
    tops = held.top(old), held.top(new)
    changes = list(diff(held.fetch, (), *tops, _never))
    assert len({change.path for change in changes}) == len(changes)
    assert {change.path: change.kind for change in changes if change.kind} == _expected(old, new)
    assert tops[0].ref != tops[1].ref or not held.fetched


@settings(max_examples=150, deadline=None)
@given(st.lists(_TREES, min_size=1, max_size=5))
def test_find_over_many_views_is_what_the_model_says(trees):
    held = Held()
    views = [
        message.VIEW.tuple(number, *held.top(tree).ref[1:], number, 0, 0, 0, bytes(64), 0, 0, 0)
        for number, tree in enumerate(trees, 1)
    ]
    tree = nodes.Tree(held.fetch)
    found = finding.in_all(held.fetch, tree, views, [((), ())], finding.Filter([b"[abc]"]), _never)
    expected = set()
    for path in {path for tree in trees for path in _flat(tree) if path[-1] in (b"a", b"b", b"c")}:
        states = [_flat(tree).get(path, "gone") for tree in trees]
        for at, row in enumerate(states):
            if row != "gone" and (at == 0 or states[at - 1] != row):
                last = next((later for later in range(at, len(states)) if states[later] != row), len(states))
                expected.add((path, at + 1, last, states[-1] == "gone"))
    assert {(row.path, row.first, row.last, row.deleted) for row in found} == expected
    assert {row.path for row in finding.newest(found)} == {row[0] for row in expected}


def test_what_is_shared_is_not_fetched_even_within_one_large_directory():
    held = Held()
    large = {b"%05d" % number: (1, 0o644) for number in range(30_000)}
    old = held.top({b"same": large, b"large": dict(large), b"other": {b"x": (1, 0o644)}})
    new = held.top({b"same": large, b"large": {**large, b"12345": (2, 0o644)}, b"other": {b"x": (1, 0o644)}})
    changes = list(diff(held.fetch, (), old, new, _never))
    assert [(change.kind, change.path) for change in changes if change.kind] == [(CHANGED, (b"large", b"12345"))]
    assert len(held.bodies) > 30 and len(held.fetched) == 6  # the roots, the two index nodes, one list of each


def test_deleted_files_of_an_attic_are_found_and_looked_up():
    held = Held()
    letter = b"letter.doc", nodes.REF.pack(dtf.FILE, 2, 7), _entry(dtf.REGULAR, b"letter.doc", 0o644)
    inside = nodes.build([letter], held.emit)
    gone = b"gone", inside, _entry(dtf.DIRECTORY, b"gone", 0o755, dtf.DELETED)
    leads = b"home", nodes.build([gone], held.emit), _entry(dtf.DIRECTORY, b"home", 0o755)
    attic = nodes.REF.unpack(nodes.build([leads], held.emit))[1:]
    view = message.VIEW.tuple(4, *held.top({b"home": {b"stays.doc": (1, 0o644)}}).ref[1:], 4, 0, 0, 0, bytes(64), 0, *attic)
    tree = nodes.Tree(held.fetch)
    for under in ((), (b"home",), (b"home", b"gone")):
        found = finding.in_attics(tree, [view], under, finding.Filter([b"*.doc"]), _never)
        assert [(row.path, row.last, row.deleted) for row in found] == [((b"home", b"gone", b"letter.doc"), 4, True)]
    names, entry = walk.lookup(tree, view, b"/home/gone/letter.doc")
    assert names == (b"home", b"gone", b"letter.doc") and entry.ref == (dtf.FILE, 2, 7)
    assert walk.lookup(tree, view, b"/home/stays.doc")[1].ref == (dtf.FILE, 2, 1)


def test_lost_nodes_are_told():
    held = Held()
    top = held.top({b"d": {b"x": (1, 0o644)}})
    lost = []
    changes = list(diff(lambda refs: [None] * len(refs), (), None, top, lambda path, text: lost.append(path)))
    assert [change.path for change in changes] == [()] and lost == [()]


def test_where_find_starts():
    anna, srv, inside = (b"home", b"anna"), (b"srv",), (b"home", b"anna", b"mail", b"x")
    sources = [b"/home/anna", b"/home/anna/mail", b"/srv"]
    assert finding.roots(sources, ()) == [(anna, anna), (srv, srv)]
    assert finding.roots(sources, (b"home",)) == [(anna, anna)]
    assert finding.roots(sources, inside) == [(anna, inside)]
    assert finding.roots(sources, (b"etc",)) == [((), (b"etc",))] and finding.roots([], ()) == [((), ())]


def test_the_walk_asks_for_no_node_twice():
    held = Held()
    top = held.top({b"a": {b"b": {b"c": (1, 0o644)}}})
    tree = nodes.Tree(held.fetch)
    assert [entry.name for entry in walk.way(tree, top, (b"a", b"b", b"c"))] == [b"a", b"b", b"c"]
    assert len(held.fetched) == 3
    assert walk.find(tree, top, (b"a", b"x")) is None and walk.find(tree, top, ()) is top


def test_the_mount_shows_an_attic_beside_its_view():
    view = message.VIEW.tuple(4, 1, 0, 1_700_000_000_000_000_000, 0, 0, 0, bytes(64), 0, 2, 5)

    class Link:
        def run(self, work):
            return "", [view]

    forest = Forest(Link(), _never)
    [name, beside] = sorted(forest.views())
    assert forest.latest() == name and beside == name + b"_deleted"
    shown = forest.view(beside)
    assert (shown.root_group, shown.root_index, shown.view) == (2, 5, 4)
