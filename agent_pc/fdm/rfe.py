"""Redundant file elimination, agent side: which files the appliance already holds, asked for hundreds at a time. Called by agent_pc/backup.py.

CRCs nominate file objects; a nominee counts if size and signature are this file's; it may be referenced once the appliance has seen a
digest of a range of the contents that it chose. Also fetches the old versions of modified files for the differencing.

Several batches are under way at a time: while the appliance looks at the proofs of one, the files of the next are read and hashed.
"""

import hashlib
import os
import struct

from agent_pc.afm.sources import Sources
from agent_pc.bdm import contents
from agent_pc.bdm.old import Old
from agent_pc.fdm.task import Task
from firmware.formats import limits, message, pack, rfe
from firmware.formats.record import FormatError
from firmware.formats.refusal import Refusal

BATCH = limits.RFE_ROWS
_PORTION_BYTES = 1 << 20
_PORTION_FILES = 32
_CRC = struct.Struct(message.CRC.code)
_NOMINEE = struct.Struct(message.NOMINEE.code)
_PROOF = struct.Struct(message.PROOF.code)


class Held:
    """What this PC holds of one nominated file: stat, label, the nominee that it is, and the proof."""

    def __init__(self, status: os.stat_result, label: int, nominee: int, ref: tuple, digest: bytes):
        self.status = status
        self.label = label
        self.nominee = nominee
        self.ref = ref
        self.digest = digest


class Round:
    """One batch of tasks on its way: `asked`, then `reading` (futures) what is nominated, then `claims` [(task, Held)] and `proven`."""

    def __init__(self, tasks: list, asked):
        self.tasks = tasks
        self.asked = asked
        self.steps = 0  # done so far
        self.finished = False
        self.batch = 0
        self.reading: list = []
        self.claims: list = []
        self.proven = None


class Elimination:
    """`pool` hashes; `cache` knows some old versions; `sources` opens files. A round is asked, then takes three steps. One thread."""

    def __init__(self, session, cache, pool, sources: Sources):
        self._session = session
        self._cache = cache
        self._pool = pool
        self._sources = sources

    def ask(self, tasks: list) -> Round:
        """Send the CRC list."""
        return Round(tasks, self._session.held_ask(b"".join([_CRC.pack(task.crc()) for task in tasks])) if tasks else None)

    def step(self, round_: Round) -> None:
        """The next step of a round; waits for what it needs."""
        (self._read, self._prove, self._finish)[round_.steps](round_)
        round_.steps += 1

    def _read(self, round_: Round) -> None:
        """The answer is here: begin to read and hash what is nominated."""
        if round_.asked is None:
            return
        self._olds(round_.tasks)
        answer = self._session.nominees(round_.asked)
        round_.batch = answer.batch
        wanted = [(round_.tasks[row], some) for row, some in self._nominated(round_.tasks, answer.nominees).items()]
        round_.reading = [self._pool.submit(self._hold, some, answer.nonce) for some in _portions(wanted)]

    def _hold(self, wanted: list, nonce: bytes) -> list:
        """[(task, Held)] of [(task, nominees)] that the PC holds. Runs in a reader thread."""
        held = [(task, hold(task, nominees, nonce, self._sources)) for task, nominees in wanted]
        return [row for row in held if row[1] is not None]

    def _prove(self, round_: Round) -> None:
        """Everything is hashed: send the proofs."""
        for future in round_.reading:
            round_.claims += future.result()
        if round_.claims:
            proofs = b"".join([_PROOF.pack(found.nominee, found.digest) for _, found in round_.claims])
            round_.proven = self._session.prove_ask(round_.batch, proofs)

    def _finish(self, round_: Round) -> None:
        """The verdicts are here: finish the tasks that the appliance holds, give the others their old version."""
        if round_.proven is not None:
            verdicts = self._session.proven(round_.proven, len(round_.claims))
            for (task, found), verdict in zip(round_.claims, verdicts, strict=True):
                if verdict:
                    task.finish(found.ref, found.status, found.status.st_size, 0, found.label)
                    task.found = "redundant"
        self._prints([task for task in round_.tasks if task.slot is None])
        round_.finished = True

    def _nominated(self, tasks: list, nominees: bytes) -> dict:
        """Row -> [(nominee, ref, point, signature8)] that can be the file. A file's own old version needs no proof."""
        out: dict = {}
        for nominee, (row, index, group, size, signature, point) in enumerate(_NOMINEE.iter_unpack(nominees)):
            task = tasks[row] if row < len(tasks) else None
            if task is None or size != task.status.st_size:
                continue
            if not task.modified or task.entry.ref[1:] != (group, index):
                out.setdefault(row, []).append((nominee, (group, index), point, signature))
        return out

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


def _portions(wanted: list):
    """Lists of [(task, nominees)]: enough to read for one turn of a thread."""
    portion: list = []
    size = 0
    for row in wanted:
        portion.append(row)
        size += row[0].status.st_size
        if size >= _PORTION_BYTES or len(portion) == _PORTION_FILES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def hold(task: Task, nominees: list, nonce: bytes, sources: Sources) -> Held | None:
    """Held if the file is one of `nominees` [(nominee, ref, point, signature8)]; None too if it cannot be read or is changing."""
    try:
        with task.contents(sources) as frozen:
            handle, status = frozen.handle, frozen.status
            size = status.st_size
            found = contents.extents(handle, status)
            signature = contents.signature(handle, found, size, limits.chunk_size(size))
            match = next((row for row in nominees if signature is not None and row[3] == signature[:8]), None)
            if match is None or size != task.status.st_size:
                return None
            offset, length = rfe.challenged(size, match[2])
            data = os.pread(handle, length, offset)
            label, changed = frozen.verdict()
    except OSError:
        return None
    if changed or signature is None:
        return None
    digest = hashlib.blake2b(data, key=nonce + signature, digest_size=rfe.PROOF_DIGEST_BYTES).digest()
    return Held(status, label, match[0], match[1], digest)
