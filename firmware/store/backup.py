"""One backup of one client: takes packs, checks them, checkpoints them, commits the view. Made by store.begin.

What a power cut does: until `sync` or an automatic checkpoint nothing of it exists; checkpointed packs belong to a pending BDF
that the client's next backup continues; after `commit` returned the view is listed, before it never. Whoever ends a backup early
calls `leave`, which makes a checkpoint of what arrived.
"""

from firmware.formats import catalog as layout
from firmware.formats import disk, fileobject, limits
from firmware.formats import pack as packs
from firmware.formats.refusal import Refusal
from firmware.store import intake, runs
from firmware.store.catalog import Catalog
from firmware.store.change import Change
from firmware.store.packs import decode, verify
from firmware.store.rfe import Proofs
from firmware.store.view_record import commit_record
from hal.errors import CorruptData, HalError, NoSpace
from hal.loop import sleep_ms

_CHECKPOINT_BYTES = 64 << 20
_CHECKPOINT_ROWS = 4096
_YIELD_STEPS = 512
_LABEL_BYTES = 64
_CHUNKS = bytes((packs.DATA,))  # how a pack of them begins


class Backup:
    """`group` is the BDF id, `next` the next index of each kind. Calls do not overlap: one session drives it."""

    def __init__(self, store, client: int, group: int, row, area: int):
        self._store = store
        self._client = client
        self._area = area
        self._change = Change()
        self._stored = row.stored_bytes
        self._done = False  # takes nothing more
        self._left = False  # and holds nothing more
        self._broken = False  # a pack or checkpoint broke off: what `_change` has is not whole
        self.group = group
        self.next = [row.next_data, row.next_file, row.next_node]
        self.proofs = Proofs(store, client)

    # -- packs

    async def add_pack(self, body) -> None:
        """Check and take one pack; `body` is the caller's until return.

        Raises Refusal PROTOCOL (order, format), CORRUPT (a hash), NOT_FOUND (refers to what is not there or not the client's), FULL.
        """
        store = self._store
        try:
            # The shared buffer is for what is used before anybody else runs.
            pack = decode(body, store.processor, store.raw_buffer if bytes(body[:1]) == _CHUNKS else None)
            self._check_place(pack.header)
            verify(pack, store.processor)
        except CorruptData as error:
            raise Refusal("CORRUPT", str(error))
        try:
            await self._take(pack, body)
        except BaseException:
            self._broken = True
            raise
        if self._change.bytes >= _CHECKPOINT_BYTES or self._change.size() >= _CHECKPOINT_ROWS:
            await self.sync()

    async def _take(self, pack, body) -> None:
        if pack.header.kind == packs.FILES:
            await self._take_files(pack)
        elif pack.header.kind == packs.NODES:
            await self._take_nodes(pack)
        await self._append(pack.header, body)

    def _check_open(self) -> None:
        if self._done:
            raise Refusal("PROTOCOL", "this backup is finished: begin a new one")

    def _check_place(self, header) -> None:
        self._check_open()
        if header.group != self.group or header.first != self.next[header.kind]:
            raise Refusal(
                "PROTOCOL",
                "pack.HEADER: expected %s %d of BDF %d, got %d of %d"
                % (packs.KIND_NAMES[header.kind], self.next[header.kind], self.group, header.first, header.group),
            )

    async def _append(self, header, body) -> None:
        store = self._store
        try:
            segment, offset, taken = await store.log.append(
                self._area, disk.PACK, body, (header.kind, header.count, header.group, header.first)
            )
        except NoSpace:
            await self.abandon()  # or what it stored would keep everybody else out
            raise Refusal("FULL", "the disk is full: delete old views or use a larger disk")
        change = self._change
        change.packs.append((header.kind, header.group, header.first, segment, offset, len(body), header.count, taken))
        change.bytes += taken
        self._stored += taken
        if header.kind == packs.DATA:
            row = layout.PACK.tuple(segment, offset, len(body), header.count, 0)
            change.data.append((header.first, header.count, row))
            store.tables.keep(row, body)
        else:
            for index in range(header.first, header.first + header.count):
                change.items.append(layout.item_key(header.kind, self.group, index))
        self.next[header.kind] += header.count

    # -- file objects

    async def _take_files(self, pack) -> None:
        pin = self._store.segments.pin()  # what it reads may be moved and freed meanwhile
        catalog = Catalog(self._store.kv.begin())
        try:
            for position in range(pack.header.count):
                await self._take_file(catalog, pack.header.first + position, intake.parse_file(pack.item(position)))
        finally:
            catalog.txn.abort()
            self._store.segments.unpin(pin)
        self.proofs.sent(pack.header.count)

    async def _take_file(self, catalog, index: int, row) -> None:
        self._check_runs(catalog, row, await self._base_runs(catalog, row))
        signature = intake.Signature(self._store.processor.hasher(), row.chunk_bytes)
        steps = 0  # chunks, holes and pieces looked at: a run may name very many, and the same ones again and again
        needs = {}
        for run in row.runs:
            if run[0] == fileobject.HOLE_GROUP:
                signature.hole(fileobject.hole_bytes(run))
                steps = await _pace(steps + 1)
                continue
            for found in self._pieces(catalog, run):
                needs[found[:2]] = needs.get(found[:2], 0) + 1
                if not row.flags & fileobject.IRREGULAR:
                    await self._sign(signature, found)
                    steps += found[4] - found[3]
                steps = await _pace(steps + 1)
        self._check_signature(row, signature)
        for group, first in needs:
            self._change.need(group, first, needs[(group, first)])
        self._index(index, row)

    def _index(self, index: int, row) -> None:
        """Offer the object to others: only what `rfe` can challenge."""
        if not intake.offered(row):
            return
        self._change.rfe.append((layout.number_key(row.crc), intake.rfe_entry(self.group, index, row)))

    async def _base_runs(self, catalog, row):
        """Runs of the object that this one differs from; () if it needs none."""
        foreign = [run for run in row.runs if run[0] not in (fileobject.HOLE_GROUP, self.group)]
        if not foreign or row.base_group in (0, self.group):
            return ()
        if not self.may_refer(catalog, packs.FILES, row.base_group, row.base_index):
            raise Refusal("NOT_FOUND", "file.FILE.base: no file object %d of BDF %d" % (row.base_index, row.base_group))
        base = await self.file_object(catalog, row.base_group, row.base_index)
        return base.runs

    async def file_object(self, catalog, group: int, index: int):
        """FILE tuple of a durable file object. Raises Refusal NOT_FOUND or CORRUPT."""
        found = catalog.pack_of(packs.FILES, group, index)
        if found is None:
            raise Refusal("NOT_FOUND", "no file object %d of BDF %d" % (index, group))
        try:
            pack = await self._store.packs.load(found[1])
        except CorruptData as error:
            raise Refusal("CORRUPT", str(error))
        return intake.parse_file(pack.item(index - found[0]))

    def _check_runs(self, catalog, row, base_runs) -> None:
        """Chunks of other clients may be used only through a base that the client may refer to."""
        foreign = []
        for run in row.runs:
            if run[0] == self.group:
                if run[1] + run[2] > self.next[packs.DATA]:
                    raise Refusal("NOT_FOUND", "file.RUN: chunk %d was not sent" % (run[1] + run[2] - 1))
            elif run[0] != fileobject.HOLE_GROUP:
                if not catalog.granted(self._client, packs.DATA, run[0], 0):
                    foreign.append(run)
        if foreign and not runs.covered(foreign, base_runs):
            raise Refusal("NOT_FOUND", "file.RUN: chunks that are not part of file.FILE.base")

    def _pieces(self, catalog, run):
        """As runs.pieces, but also over packs that are not in the catalog yet."""
        group, first, count = run
        if group != self.group:
            try:
                return list(runs.pieces(catalog, (run,)))
            except CorruptData as error:
                raise Refusal("NOT_FOUND", str(error))
        return self._own_pieces(catalog, first, first + count)

    def _own_pieces(self, catalog, first: int, end: int):
        fresh = self._change.data
        start = fresh[0][0] if fresh else end
        found = []
        if first < start:
            found = list(runs.pieces(catalog, ((self.group, first, min(end, start) - first),)))
        for at in range(_bisect(fresh, first), len(fresh)):
            pack_first, count, row = fresh[at]
            if pack_first >= end:
                break
            if pack_first + count > first:
                found.append((self.group, pack_first, row, max(first - pack_first, 0), min(end - pack_first, count)))
        return found

    async def _sign(self, signature, found) -> None:
        _, _, row, start, end = found
        body = await self._store.tables.get(row)
        signature.chunks(body, start, end)

    def _check_signature(self, row, signature) -> None:
        if row.flags & fileobject.IRREGULAR:
            return  # claimed by the client, never offered to another one
        if not signature.regular or signature.size != row.size or row.chunk_bytes != limits.chunk_size(row.size):
            raise Refusal(
                "PROTOCOL", "file.FILE: expected %d bytes in chunks of %d, got %d" % (row.size, row.chunk_bytes, signature.size)
            )
        if signature.digest() != row.signature:
            raise Refusal("CORRUPT", "file.FILE.signature is not that of its chunks")

    # -- nodes

    async def _take_nodes(self, pack) -> None:
        catalog = Catalog(self._store.kv.begin())
        try:
            for position in range(pack.header.count):
                index = pack.header.first + position
                for kind, group, ref in intake.parse_node(pack.item(position)):
                    self._refer(catalog, index, kind, group, ref)
                if position % _YIELD_STEPS == _YIELD_STEPS - 1:
                    await sleep_ms(0)
        finally:
            catalog.txn.abort()

    def _refer(self, catalog, node: int, kind: int, group: int, index: int) -> None:
        item = layout.item_number(kind, group, index)
        references = self._change.references
        count = references.get(item, 0)
        if not count:
            if not self.proofs.granted(item):
                self._check_reference(catalog, node, kind, group, index)
            self._store.holds.add(item)
        references[item] = count + 1

    def _check_reference(self, catalog, node: int, kind: int, group: int, index: int) -> None:
        if kind == packs.NODES and (group, index) >= (self.group, node):
            raise Refusal("PROTOCOL", "dtf.REF: node %d refers to node %d of BDF %d, which comes later" % (node, index, group))
        earlier = kind == packs.NODES and group == self.group  # than `node`, so it is there, if only in the same pack
        if not earlier and not self.may_refer(catalog, kind, group, index):
            raise Refusal("NOT_FOUND", "dtf.REF: no %s %d of BDF %d" % (packs.KIND_NAMES[kind], index, group))

    def may_refer(self, catalog, kind: int, group: int, index: int) -> bool:
        """Whether the item exists, and the client owns it or proved to hold it (earlier, or in this backup)."""
        if group == self.group:
            return index < self.next[kind]
        if kind == packs.FILES and self.proofs.granted(layout.item_number(kind, group, index)):
            return True
        if catalog.references(layout.item_key(kind, group, index)) < 0:
            return False
        return catalog.granted(self._client, kind, group, index)

    # -- checkpoints and the end

    async def sync(self) -> list:
        """Make everything taken so far durable; gives `next`. Raises Refusal FULL, NOT_FOUND: then it takes nothing more."""
        self._check_open()
        await self._apply(self._checkpoint)
        return list(self.next)

    async def _apply(self, work, records=()) -> None:
        """`work(catalog, change, live_bytes)` in a transaction. If it fails the change is lost, and the next indexes with it."""
        change = self._take_change()
        try:
            await self._store.apply(lambda catalog, live: work(catalog, change, live), change, records)
        except BaseException:
            self._done = self._broken = True
            raise

    def _take_change(self):
        change, self._change = self._change, Change()
        change.next = list(self.next)
        change.stored = self._stored
        change.grants = self.proofs.take_grants()
        return change

    def _checkpoint(self, catalog, change, live_bytes, state: int = layout.PENDING) -> None:
        change.apply(catalog, live_bytes)
        catalog.put_group(self.group, (self._client, state) + tuple(change.next) + (change.stored,))

    async def commit(self, root_group: int, root_index: int, time_ns: int, files: int, bytes_: int, label: str = ""):
        """(view, stored bytes): the backup is a listed view, durable on return. Raises Refusal NOT_FOUND for a root that is not there."""
        store = self._store
        self._check_open()
        self._check_root(root_group, root_index)
        view = store.next_view(self._client)
        name = label.encode()
        name += bytes(_LABEL_BYTES - len(name))
        head = (root_group, root_index, self.group, time_ns, files, bytes_)
        tail = (name, layout.HOURLY, self.group, 0, 0, 0)
        record = commit_record(self._client, view, layout.VIEW.tuple(*(head + (self._stored, 0, 0) + tail)))
        segment, _, taken = await store.log.append(self._area, disk.COMMIT, record, reserve=0)
        row = head + (self._stored, segment, taken) + tail
        await self._apply(lambda catalog, change, live: self._commit(catalog, change, live, view, row), (segment,))
        self._close()
        store.collector.wake()
        return view, self._stored

    def _check_root(self, group: int, index: int) -> None:
        catalog = Catalog(self._store.kv.begin())
        try:
            if not self.may_refer(catalog, packs.NODES, group, index):
                raise Refusal("NOT_FOUND", "COMMIT.root: no node %d of BDF %d" % (index, group))
        finally:
            catalog.txn.abort()

    def _commit(self, catalog, change, live_bytes, view: int, row) -> None:
        self._checkpoint(catalog, change, live_bytes, layout.SWEEPING)
        catalog.add_references(layout.item_key(packs.NODES, row[0], row[1]), 1)
        catalog.txn.put(layout.VIEWS, layout.pair_key(self._client, view), layout.VIEW.pack(*row))
        live_bytes[row[7]] = live_bytes.get(row[7], 0) + row[8]
        catalog.txn.put(layout.GARBAGE, layout.item_key(layout.GROUP_MARK, self.group, 0), b"")
        self._store.end_pending(catalog, self._client, view + 1)

    async def abandon(self) -> None:
        """Give the backup up and free what it stored."""
        self._store.drop_change(self._take_change())
        await self._store.abandon_group(self._client, self.group)
        self._close()

    async def leave(self) -> None:
        """The connection is gone: what arrived is made durable and waits for the client's next backup, which is BUSY until then.

        Where a pack broke off in the middle, or the disk fails, what came since the last checkpoint is forgotten. Raises nothing.
        """
        if self._left:
            return
        self._left = True
        try:
            if self._broken:
                self._store.drop_change(self._take_change())
            elif self._change.size():
                await self.sync()
        except (Refusal, HalError):
            pass  # as if the connection had gone at the checkpoint before
        finally:
            self._close()

    def _close(self) -> None:
        self._done = self._left = True
        self.proofs.close()
        self._store.running.pop(self._client, None)

    # -- redundant files

    async def nominate(self, crcs):
        """(batch, nonce, nominees) for the packed CRCs of RFE_ASK."""
        return await self.proofs.nominate(crcs)

    async def prove(self, batch: int, proofs) -> bytes:
        """Verdicts for the packed rows of RFE_PROVE."""
        return await self.proofs.prove(batch, proofs)


async def _pace(steps: int) -> int:
    """Let others run after so many steps; gives the steps since."""
    if steps < _YIELD_STEPS:
        return steps
    await sleep_ms(0)
    return 0


def _bisect(fresh: list, first: int) -> int:
    """Index of the last (first, count, row) in `fresh` that begins at or before chunk `first`."""
    low, high = 0, len(fresh)
    while high - low > 1:
        middle = (low + high) // 2
        if fresh[middle][0] <= first:
            low = middle
        else:
            high = middle
    return low
