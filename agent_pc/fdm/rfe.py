"""Redundant file elimination, agent side: which files the appliance already holds, asked for hundreds at a time. Called by agent_pc/backup.py.

CRCs nominate candidates; a candidate counts if size and signature are this file's; it may be referenced once the appliance has
seen a digest of a range of the contents that it chose. Also fetches the old versions of modified files for the differencing.
"""

import hashlib
import os

from agent_pc.afm import plain
from agent_pc.afm.sources import Sources
from agent_pc.bdm import contents
from agent_pc.bdm.old import Old
from agent_pc.exits import AgentError
from agent_pc.fdm.task import Task
from firmware.formats import limits, pack
from firmware.formats.record import FormatError
from firmware.formats.refusal import Refusal

BATCH = limits.RFE_CLAIM_ROWS


class Local:
    """What this PC holds of one candidate: its signature, and the stat and label that go with it."""

    def __init__(self, status: os.stat_result, signature: bytes, label: int):
        self.status = status
        self.signature = signature
        self.label = label


class Elimination:
    """`pool` hashes; `cache` knows some old versions; `sources` opens files. One thread calls `resolve`."""

    def __init__(self, session, cache, pool, sources: Sources):
        self._session = session
        self._cache = cache
        self._pool = pool
        self._sources = sources

    def ask(self, tasks: list):
        """Send the CRC list; its Reply goes to `resolve`."""
        return self._session.query([task.crc() for task in tasks])

    def resolve(self, tasks: list, reply) -> None:
        """Finish the tasks that the appliance holds, give the others their old version."""
        self._olds(tasks)
        nominated = self._nominated(tasks, reply)
        found = list(self._pool.map(lambda row: local(tasks[row], self._sources), nominated))
        claims = []
        for (row, candidates), held in zip(nominated.items(), found, strict=True):
            match = next((ref for ref in candidates if held is not None and held.signature[:8] == candidates[ref]), None)
            if match is not None:
                claims.append((tasks[row], match, held))
        for at in range(0, len(claims), limits.RFE_CLAIM_ROWS):
            self._claim(claims[at : at + limits.RFE_CLAIM_ROWS])
        self._prints([task for task in tasks if task.slot is None])

    def _nominated(self, tasks: list, reply) -> dict:
        """Row -> {ref: signature8}, of the candidates that can be the file. A file's own old version needs no proof."""
        out: dict = {}
        for row, group, index, size, signature in self._session.candidates(reply, len(tasks)):
            task = tasks[row]
            own = task.modified and task.entry.ref[1:] == (group, index)
            if size == task.status.st_size and not own:
                out.setdefault(row, {})[group, index] = signature
        return out

    def _claim(self, claims: list) -> None:
        rows = [(*ref, task.status.st_size, held.signature) for task, ref, held in claims]
        nonce, ranges = self._session.claim(rows)
        asked = [(task, held, nonce, *range_) for (task, _, held), range_ in zip(claims, ranges, strict=True)]
        digests = list(self._pool.map(self._digest, asked))
        for (task, ref, held), verdict in zip(claims, self._session.prove(digests), strict=True):
            if verdict:
                task.finish(ref, held.status, held.status.st_size, 0, held.label)
                task.found = "redundant"

    def _digest(self, row: tuple) -> bytes:
        """BLAKE2b-256 of the challenged range, keyed with the nonce; of nothing if the file changed meanwhile."""
        task, held, nonce, offset, length = row
        if length > limits.PROOF_BYTES or offset + length > held.status.st_size:
            raise AgentError(
                "PROTOCOL", f"appliance: RFE_CHALLENGE: bytes {offset} to {offset + length} of a file of {held.status.st_size}"
            )
        data = b""
        try:
            with task.contents(self._sources) as frozen:
                if plain.same(frozen.status, held.status):
                    data = os.pread(frozen.handle, length, offset)
        except OSError:
            pass  # the proof fails, the file is reported when it is read
        return hashlib.blake2b(data, key=nonce, digest_size=32).digest()

    def _olds(self, tasks: list) -> None:
        """Old versions that may be equal in contents, or worth a difference."""
        missing = []
        for task in tasks:
            if not task.modified:
                continue
            ref = task.entry.ref[1:]
            held = self._cache.file(ref)
            if held is not None:
                self._take(task, held[0], held[1])
            elif task.entry.size == task.status.st_size or task.entry.size > limits.CHUNK_TABLE[0][0]:
                missing.append(task)
        bodies = self._session.items(pack.FILES, [task.entry.ref[1:] for task in missing]) if missing else ()
        for task, body in zip(missing, bodies, strict=True):
            if body is not None:
                self._take(task, body, None)

    def _take(self, task: Task, body: bytes, prints) -> None:
        try:
            old = task.old = Old(task.entry.ref[1:], body)
        except FormatError:
            return  # then it is sent whole
        if prints is not None:
            old.take_prints(prints)

    def _prints(self, tasks: list) -> None:
        """Download the fingerprint sets that are not cached."""
        olds = [
            task.old for task in tasks if task.old is not None and not task.old.prints and task.old.worth(task.status.st_size)
        ]
        asked = [(old, self._session.prints_ask(old.ref)) for old in olds]
        for old, reply in asked:
            try:
                old.take_prints(self._session.prints(reply, old.chunks))
            except Refusal as refusal:
                if refusal.name not in ("NOT_FOUND", "CORRUPT"):
                    raise


def local(task: Task, sources: Sources):
    """Local of a candidate's file now, None if it cannot be read or is changing."""
    try:
        with task.contents(sources) as frozen:
            handle, status = frozen.handle, frozen.status
            found = contents.extents(handle, status)
            signature = contents.signature(handle, found, status.st_size, limits.chunk_size(status.st_size))
            label, changed = frozen.verdict()
    except OSError:
        return None
    return Local(status, signature, label) if signature and not changed and status.st_size == task.status.st_size else None
