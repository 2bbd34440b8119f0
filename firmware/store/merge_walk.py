"""Finds what a merge of two views must remember of deleted files. Used by merge.py.

Walks the older and the newer tree and the older attic side by side, by name, and only where they differ: a directory that is the
same node in both trees is not opened, nor a part of a large one. What the newer tree no longer has goes into the attic with its
time; what it has again leaves the attic; what was deleted too long ago goes. No recursion, since trees are deep; far up the stack nothing
but positions is kept.
"""

from firmware.formats import dtf, limits
from firmware.store.merge_tree import Builder, Cursor, Damaged, Known
from hal.loop import sleep_ms

_YIELD = 128  # names between two turns of the loop
_KEPT = 4  # directories of the stack whose nodes stay in memory
_WEIGHT = 32768  # parts of large directories that all of the stack may keep in mind


class _Frame:
    """One directory. `join`: `old` wins over `attic` and `new` is not there."""

    def __init__(self, walk, refs, slot, join: bool, inherited_ns: int, explicit: bool):
        old, new, attic = refs
        known = Known(walk.digest)
        self.old = Cursor(walk.load, old)
        self.new = Cursor(walk.load, new)
        self.attic = Cursor(walk.load, attic, known.note)
        self.builder = Builder(walk.emit, known)
        self.slot = slot  # (entry, deleted_ns, the attic's entry): how it stands in the directory above
        self.join = join
        self.inherited_ns = inherited_ns  # when all in the attic was deleted that has no time of its own
        self.explicit = explicit  # the attic's directory exists again, so that its entries need times of their own
        self.attic_ref = attic
        self.fallback = old if join else attic
        self.changed = False
        self.fallen = False

    async def release(self) -> None:
        for cursor in (self.old, self.new, self.attic):
            cursor.release()
        await self.builder.spill()

    def weight(self) -> int:
        return self.old.weight() + self.new.weight() + self.attic.weight()


class Walk:
    """`load(ref)` gives a node's bytes or raises Damaged, `emit(body, refs)` writes one. `visited` counts names looked at."""

    def __init__(self, load, emit, digest, limit_ns: int):
        self.load = self._counted(load)
        self.emit = emit
        self.digest = digest
        self._limit_ns = limit_ns
        self._at_ns = 0
        self.visited = 0
        self.nodes = 0
        self.damaged = 0

    def _counted(self, load):
        def counted(ref):
            self.nodes += 1
            return load(ref)

        return counted

    async def deletions(self, old, new, attic, at_ns: int):
        """The attic ((group, index) or None, oldest deletion) of the newer of two views: `old`, `new` roots, `attic` the older one's.

        With old and new None the attic only ages.
        """
        self._at_ns = at_ns
        if old == new and old is not None and attic is None:
            return None, 0
        return await self._run(_Frame(self, (old, new, attic), None, False, 0, False), old == new)

    async def join(self, newer, older):
        """One attic of two; what is in both is taken from `newer`."""
        return await self._run(_Frame(self, (newer, None, older), None, True, 0, False), False)

    async def _run(self, top, same: bool):
        if same:
            top.old = top.new = Cursor(self.load, None)
        stack = [top]
        while True:
            frame = stack[-1]
            try:
                child = await self._turn(frame, stack)
            except Damaged:
                self.damaged += 1
                child, frame.fallen = None, True
            if child is not None:
                stack.append(child)
                if len(stack) > _KEPT:
                    await stack[-1 - _KEPT].release()
                continue
            stack.pop()
            ref, oldest_ns = await self._finish(frame)
            if not stack:
                return ref, oldest_ns
            await self._take(stack[-1], frame, ref, oldest_ns)

    async def _finish(self, frame):
        if frame.fallen:
            return frame.fallback, self._at_ns if frame.fallback else 0
        if not frame.changed and frame.attic_ref is not None:
            return frame.attic_ref, frame.builder.oldest_ns
        return await frame.builder.finish(), frame.builder.oldest_ns

    async def _take(self, frame, child, ref, oldest_ns: int) -> None:
        """A directory is finished: its entry goes into the one above."""
        entry, deleted_ns, was = child.slot
        if ref is None:
            frame.changed = frame.changed or was is not None
            return
        if deleted_ns and (not oldest_ns or deleted_ns < oldest_ns):
            oldest_ns = deleted_ns
        row = entry.with_attic((dtf.NODE_REF,) + ref, deleted_ns, oldest_ns)
        await self._add(frame, row, was)

    async def _add(self, frame, row, was) -> None:
        if not row.same(was):
            frame.changed = True
        await frame.builder.add(row if not row.same(was) else was)

    async def _turn(self, frame, stack: list):
        """Go on with a directory: None when it is finished, or one in it that comes first."""
        while True:
            self.visited += 1
            if self.visited % _YIELD == 0:
                await sleep_ms(0)
            part = frame.new.part()
            if part is not None and part == frame.old.part() and not frame.inherited_ns:
                frame.new.skip()
                frame.old.skip()
                continue
            names = (await frame.old.name(), await frame.new.name(), await frame.attic.name())
            present = [name for name in names if name is not None]
            if not present:
                return None
            rows = await self._rows(frame, names, min(present))
            if rows is None:
                continue
            child = await self._step(frame, *rows)
            if child is not None and not self._too_much(stack):
                return child
            if child is not None:
                self.damaged += 1
                await self._take(frame, child, child.fallback, self._at_ns)

    async def _rows(self, frame, names: tuple, first: bytes):
        """The entries called `first`; None if the index of a large directory promised a name that is not there."""
        rows = []
        for cursor, name in zip((frame.old, frame.new, frame.attic), names):
            row = await cursor.row() if name == first else None
            rows.append(row if row is not None and row.name == first else None)
        for cursor, row in zip((frame.old, frame.new, frame.attic), rows):
            if row is not None:
                cursor.advance()
        return rows if rows != [None, None, None] else None

    def _too_much(self, stack: list) -> bool:
        return len(stack) >= limits.TREE_DEPTH or sum([frame.weight() for frame in stack]) > _WEIGHT

    # -- what becomes of one name: `old` and `new` in the two trees, `was` in the attic

    async def _step(self, frame, old, new, was):
        """Adds an entry to the attic, or gives the _Frame of a directory to go through first."""
        if new is None or not new.is_directory():
            if old is not None and (new is None or old.is_directory()):
                return await self._gone(frame, old, was)
            if was is not None and (new is None or was.is_directory()):
                return await self._stays(frame, was)
            frame.changed = frame.changed or was is not None
            return None
        return await self._both(frame, old, new, was)

    async def _gone(self, frame, old, was):
        """It is in the older tree only (or, joining, in the newer attic): what the attic had below it is kept, too."""
        deleted_ns = old.attic()[0] if frame.join else self._at_ns
        if old.is_directory() and was is not None and was.node() is not None:
            own_ns = was.attic()[0] or frame.inherited_ns
            return _Frame(self, (old.node(), None, was.node()), (old, deleted_ns, was), True, own_ns, own_ns != 0)
        row = old if frame.join else old.with_attic(old.ref, deleted_ns, deleted_ns)
        await self._add(frame, row, was)
        return None

    async def _stays(self, frame, was):
        """It is in the attic only."""
        own_ns, oldest_ns = was.attic()
        deleted_ns = own_ns or frame.inherited_ns
        if deleted_ns and deleted_ns < self._limit_ns:
            frame.changed = True
            return None
        if was.node() is not None and 0 < oldest_ns < self._limit_ns:
            return _Frame(self, (None, None, was.node()), (was, deleted_ns, was), False, deleted_ns, False)
        row = was
        if frame.explicit and not own_ns and frame.inherited_ns:
            row = was.with_attic(was.ref, frame.inherited_ns, frame.inherited_ns)
        await self._add(frame, row, was)
        return None

    async def _both(self, frame, old, new, was):
        """A directory that exists."""
        if was is not None and not was.is_directory():
            frame.changed = True
            was = None
        own_ns, oldest_ns = was.attic() if was is not None else (0, 0)
        inherited_ns = own_ns or (frame.inherited_ns if was is not None else 0)
        before = old.node() if old is not None else None
        if before == new.node() and not inherited_ns:
            if was is None:
                return None
            if not 0 < oldest_ns < self._limit_ns:
                await self._add(frame, was, was)
                return None
            return _Frame(self, (None, None, was.node()), (was, 0, was), False, 0, False)
        below = was.node() if was is not None else None
        if before is None and below is None:
            frame.changed = frame.changed or was is not None
            return None
        entry = was if was is not None and not inherited_ns else new
        return _Frame(self, (before, new.node(), below), (entry, 0, was), False, inherited_ns, inherited_ns != 0)
