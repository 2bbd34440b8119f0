"""FDA for one backup: what is known of each large file, and what must be remembered of it. Called by bdm.reader, agent_pc/backup.py."""

import os

from agent_pc.fda import rule as rules
from agent_pc.fda.clones import Clones
from agent_pc.fda.hashes import Hashes, Held, Signer
from agent_pc.fda.regions import Regions
from agent_pc.fda.source import Moment
from agent_pc.guard.client import GuardLog
from firmware.formats import fileobject, limits


class Accelerator:
    """`directory`: of this client's state; `sources` are asked in order. Threads may read different files at a time."""

    def __init__(self, directory: str, sources=None, rule: rules.Rule | None = None):
        self.hashes = Hashes(os.path.join(directory, "fda"))
        self._sources = list(sources) if sources is not None else [GuardLog(), Clones()]
        self._rule = rule or rules.Rule()
        self._superseded: list = []

    def begin(self, path: bytes, handle: int, status: os.stat_result, old) -> "Tracked | None":
        """The file is going to be read for the backup; None: not tracked. `old` (bdm.old.Old) or None. Close it."""
        if status.st_size < self._rule.least_bytes:
            return None
        for source in self._sources:
            moment = source.moment(path, handle)
            if moment is None:
                continue
            if os.fstat(moment.handle).st_size == status.st_size:
                return Tracked(self, moment, self._known(moment, status.st_size, old), old)
            moment.close()  # it was written to since `status`
        return None

    def _known(self, moment: Moment, size: int, old) -> tuple:
        """(Held, Regions) if the written regions are to be used, else (None, None)."""
        if old is None or old.file.flags & fileobject.IRREGULAR or not old.prints:
            return None, None
        held = self.hashes.load(old.file.signature)
        if held is None:
            return None, None
        fits = held.chunks == old.chunks and held.chunk_bytes == old.file.chunk_bytes == limits.chunk_size(size)
        regions = moment.changed(old.file.signature) if fits else None
        if rules.why_sfp(self._rule, regions, size, held.age):
            held.close()
            return None, None
        return held, regions

    def supersede(self, signature: bytes) -> None:
        self._superseded.append(signature)

    def committed(self) -> None:
        """The view is durable: forget what is older."""
        for signature in self._superseded:
            self.hashes.drop(signature)
            for source in self._sources:
                source.drop(signature)
        self._superseded.clear()
        self.hashes.tidy()
        for source in self._sources:
            source.tidy()


class Tracked:
    """One file while it is read. `handle`: to read from; `held`, `regions`: None for SFP."""

    def __init__(self, accelerator: Accelerator, moment: Moment, known: tuple, old):
        self._accelerator = accelerator
        self._moment = moment
        self._old = old
        self._signer: Signer | None = None
        self.handle = moment.handle
        self.held: Held | None = known[0]
        self.regions: Regions | None = known[1]

    def signer(self) -> Signer:
        """A new one; the one before is forgotten."""
        if self._signer is not None:
            self._signer.close()
        self._signer = Signer(self._accelerator.hashes.directory)
        return self._signer

    def doubt(self) -> None:
        """What is known does not fit: read it all."""
        if self.held is not None:
            self.held.close()
        self.held = self.regions = None

    def done(self, outcome) -> None:
        """The file was read with this bdm.reader.Outcome: remember it."""
        if self._signer is None or outcome.changed or outcome.flags & fileobject.IRREGULAR:
            return
        signature = outcome.signature
        age = self.held.age + 1 if self.held is not None else 0
        try:
            self._signer.save(signature, outcome.size, outcome.chunk_bytes, age)
        except OSError:
            return  # then the next backup reads it all
        self._moment.keep(signature)
        if self._old is not None and self._old.file.signature != signature:
            self._accelerator.supersede(self._old.file.signature)

    def close(self) -> None:
        if self._signer is not None:
            self._signer.close()
        self.doubt()
        self._moment.close()
