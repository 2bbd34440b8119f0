"""Property test of merges: random trees, backups, folds and ages against a plain model (a dict for each view)."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_pc.fdm import nodes
from firmware.formats import catalog as layout
from firmware.store import merge_tree, merge_writer
from hal.linux.rwp import NativeProcessor
from tests.fixtures import trees
from tests.fixtures.audit import audit
from tests.unit.test_store import Bench

_PROCESSOR = NativeProcessor()
_NOW = 1_000_000
_PATH = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"ee"]), min_size=1, max_size=4).map(tuple)
_OPERATION = st.one_of(
    st.tuples(st.just("write"), _PATH, st.sampled_from([b"1", b"22", b"333" * 50])),
    st.tuples(st.just("write"), _PATH, st.sampled_from([b"1", b"22", b"333" * 50])),
    st.tuples(st.just("remove"), _PATH),
    st.tuples(st.just("backup")),
    st.tuples(st.just("backup")),
    st.tuples(st.just("fold"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("age"), st.integers(0, 9), st.integers(0, 40)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
)


class ModelView:
    def __init__(self, number: int, time: int, tree: dict, attic: dict):
        self.number, self.time, self.tree, self.attic = number, time, tree, attic


def write(tree: dict, path: tuple, data) -> dict:
    """A copy of the tree with this file; None removes what is there."""
    tree = dict(tree)
    name = path[0]
    if len(path) > 1:
        below = tree.get(name)
        if data is None and not isinstance(below, dict):
            return tree
        tree[name] = write(below if isinstance(below, dict) else {}, path[1:], data)
        if not tree[name]:
            del tree[name]
    elif data is None:
        tree.pop(name, None)
    else:
        tree[name] = data
    return tree


def exists(tree: dict, path: tuple) -> bool:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True


def laid_over(upper: dict, lower: dict) -> dict:
    """Both; where one's file is the other's directory or file, the upper one's stays."""
    taken = {path[:n] for path in upper for n in range(1, len(path) + 1)}
    kept = {
        path: value
        for path, value in lower.items()
        if path not in taken and not any(path[:n] in upper for n in range(1, len(path)))
    }
    return {**kept, **upper}


def fold_model(older: ModelView, newer: ModelView, at: int) -> dict:
    left = {path: value for path, value in older.attic.items() if not exists(newer.tree, path)}
    gone = {path: (data, at) for path, data in trees.flat(older.tree).items() if not exists(newer.tree, path)}
    return laid_over(newer.attic, laid_over(gone, left))


class Run:
    def __init__(self):
        self.bench = Bench(40)
        self.views = []
        self.tree = {b"first": b"1"}
        self.time = 100

    async def start(self):
        self.store = await self.bench.start()
        self.client = await self.store.add_client("anna")
        self.agent = trees.TreeAgent(_PROCESSOR)

    async def backup(self):
        self.time += 10
        number = await self.agent.backup(await self.store.begin(self.client.id), self.tree, self.time)
        self.views.append(ModelView(number, self.time, self.tree, {}))

    async def fold(self, at: int, count: int):
        chosen = self.views[at : at + 1 + count]
        if len(chosen) < 2:
            return
        numbers = [view.number for view in chosen]
        await self.store.merger.fold(self.client.id, numbers, layout.DAILY, _NOW, 0)
        merged = chosen[0]
        for newer in chosen[1:]:
            merged = ModelView(newer.number, newer.time, newer.tree, fold_model(merged, newer, newer.time))
        self.views[at : at + 1 + count] = [merged]

    async def age(self, at: int, back: int):
        if at < len(self.views):
            view = self.views[at]
            limit = self.time - back
            await self.store.merger.fold(self.client.id, [view.number], layout.BASELINE, _NOW, limit)
            view.attic = {path: value for path, value in view.attic.items() if value[1] >= limit}

    async def delete(self, at: int):
        if at < len(self.views) - 1:
            await self.store.delete_view(self.client.id, self.views.pop(at).number)

    async def check(self):
        await self.store.collector.drain()
        reader = self.store.reader(self.client.uuid)
        rows = reader.views()
        assert [row.view for row in rows] == [view.number for view in self.views]
        for row, view in zip(rows, self.views, strict=True):
            got = await trees.read(reader, _PROCESSOR, row.root_group, row.root_index)
            assert {path: value[0] for path, value in got.items()} == trees.flat(view.tree)
            attic = await trees.read(reader, _PROCESSOR, row.attic_group, row.attic_index) if row.attic_group else {}
            assert attic == view.attic
            assert row.time_ns == view.time
        self._check_oldest()
        await audit(self.store)

    def _check_oldest(self):
        txn = self.store.kv.begin()
        for view in self.views:
            row = layout.VIEW.unpack(txn.get(layout.VIEWS, layout.pair_key(self.client.id, view.number)))
            times = [value[1] for value in view.attic.values()]
            assert row.attic_ns == (min(times) if times else 0)
        txn.abort()


async def run(operations: list) -> None:
    state = Run()
    await state.start()
    for name, *rest in operations:
        if name == "write":
            state.tree = write(state.tree, *rest)
        elif name == "remove":
            state.tree = write(state.tree, rest[0], None) or state.tree
        else:
            await getattr(state, name)(*rest)
            await state.check()
    await state.bench.reopen()


@pytest.mark.parametrize("small", [False, True], ids=["lists", "indexes"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(operations=st.lists(_OPERATION, min_size=3, max_size=30))
def test_merges_against_a_model(small, operations):
    with pytest.MonkeyPatch.context() as patch:
        if small:  # every directory of a few entries is an index of parts
            for name, value in (("_CUT_MIN", 2), ("_CUT_MAX", 3), ("_CUT_MASK", 1)):
                patch.setattr(nodes, name, value)
            patch.setattr(merge_tree, "_CUT_ENTRIES", 2)
            patch.setattr(merge_writer, "_PACK_ITEMS", 2)
        asyncio.run(run(operations))
