"""A backup from end to end. `bobbin backup`; tests call `backup` with a Session.

Threads, each handing on through a bounded queue: the scan (the caller's thread) -> resolve (redundant files, old versions) -> readers
(read, hash, difference) -> assemble (number, fill packs) -> compressors -> send. Order is kept throughout: an item is numbered when
everything that it refers to is.
"""

import sys
import time

from agent_pc.afm.options import Options as Files
from agent_pc.afm.sources import Sources
from agent_pc.afm.waiting import Waiting
from agent_pc.bdm import contents, reader
from agent_pc.bdm.likeness import Likeness
from agent_pc.cache import Cache, NodeSource
from agent_pc.dtm.arrived import Arrived
from agent_pc.dtm.assembly import Assembly
from agent_pc.dtm.line import Line, Stopped
from agent_pc.dtm.packer import Packer
from agent_pc.dtm.sender import Sender
from agent_pc.exits import AgentError, Cut
from agent_pc.fdm import base
from agent_pc.fdm.counts import Counts
from agent_pc.fdm.exclude import Exclusions
from agent_pc.fdm.known import Known
from agent_pc.fdm.nodes import REF, Tree
from agent_pc.fdm.rfe import BATCH, Elimination
from agent_pc.fdm.scan import Scan
from agent_pc.fdm.sources import normal_sources
from agent_pc.fdm.task import Task
from agent_pc.pool import Pool
from agent_pc.progress import Quiet
from firmware.formats.refusal import Refusal

_READERS = 2
_BATCH_EVENTS = 4096
_BATCHES = 4
_UNITS = 16
_UNIT_BYTES = 1 << 19
_UNIT_FILES = 64
_PIECES = 16  # messages of one large file that may wait
_SWITCH_S = 0.0005  # threads that come back from C wait so long for the interpreter at most
_CUT_TRIES = 20
_CUT_WAIT_S = 60
_LABEL_BYTES = 64


class Options:
    """`label`: of the view; `one_filesystem`; `wait_s`: how long to wait for a slot, and for an appliance that went away;
    `fda` (fda.accelerator.Accelerator): what is known of written regions; `exclusions`, `grafts`: as fdm.scan.Scan takes them;
    `afm`: files in use."""

    def __init__(self, label: str = "", one_filesystem: bool = False, wait_s: float = 300, fda=None, afm: Files | None = None):
        self.label = label
        self.one_filesystem = one_filesystem
        self.wait_s = wait_s
        self.fda = fda
        self.exclusions: Exclusions | None = None
        self.grafts: list = []
        self.afm = afm or Files()
        self.files: dict = {}  # fields of `afm` that the caller sets, whatever the policy says


class Result:
    """`view`, `stored_bytes`; `counts` (fdm.counts.Counts); `problems` and `notices` [(path, text)]; `group`; `attempts`."""

    def __init__(self):
        self.view = 0
        self.stored_bytes = 0
        self.damage = False  # the appliance would like to have something back
        self.healed = 0  # packs that it got back
        self.group = 0
        self.attempts = 0
        self.counts = Counts()
        self.problems: list = []
        self.notes: list = []
        self.notices: list = []
        self.bytes_sent = 0

    def problem(self, path: bytes, text: str) -> None:
        self.problems.append((path, text))
        self.counts.problems += 1

    def notice(self, path: bytes, text: str) -> None:
        """Nothing is missing, but somebody may want to know."""
        self.notices.append((path, text))

    def as_dict(self) -> dict:
        return {"view": self.view, "stored_bytes": self.stored_bytes, "healed": self.healed, **vars(self.counts)}


class Attempt:
    """One backup over one connection. `arrived`: what the one before sent, and then what this one does."""

    def __init__(self, session, cache: Cache, sources: list, options: Options, progress, result: Result, arrived: Arrived):
        self._session = session
        self._cache = cache
        self._sources = sources
        self._options = options
        self._progress = progress
        self._result = result
        self.arrived = arrived
        self._line = Line()
        self._resolving = self._line.pipe(_BATCHES)
        self._units = self._line.pipe(_UNITS)
        self._pool = Pool(_READERS, "read")
        self._files = Sources(options.afm)
        self._waiting = Waiting(
            options.afm, self._files, result.problem, result.notice, own=[path for _, path in options.grafts]
        )
        self._elimination = Elimination(session, cache, self._pool, self._files)
        self._likeness: Likeness | None = Likeness(cache, session.holds)
        self._events: list = []
        self._tasks: list = []

    def run(self, fresh: bool) -> None:
        """Scan, send, commit. `fresh`: without reference to earlier views. Raises Refusal, Cut, AgentError."""
        time_ns = time.time_ns()
        tree = Tree(NodeSource(self._cache, self._session.items).fetch)
        if fresh:
            self._likeness = None
        bases = {} if fresh else base.find(self._session, self._cache, tree, self._sources)
        grant = _begin(self._session, self._options.wait_s)
        self._result.group = grant.group
        self.arrived = self.arrived.resumed(grant)
        sender = Sender(self._line, self._session.channel, grant.rate_bytes_s, self.arrived.confirmed)
        packer = Packer(sender.send, grant.group, (grant.next_data, grant.next_file, grant.next_node))
        known = Known(self._cache, self._context())
        self._assembly = Assembly(
            packer, self.arrived, self._cache, self._result.counts, self._result.problem, self._progress, self._read, known
        )
        threads = [
            self._line.thread("resolve", self._resolve),
            self._line.thread("assemble", lambda: self._assemble(packer, sender)),
            self._line.thread("send", sender.run),
        ]
        try:
            options = self._options
            scan = Scan(
                tree,
                self._event,
                self._result.counts,
                self._result.problem,
                options.one_filesystem,
                options.exclusions,
                options.grafts,
                self._waiting,
                known,
            )
            root = scan.run(self._sources, bases)
            self._wait()
            self._dispatch()
            self._resolving.put(None)
            for thread in threads:
                self._line.join(thread)
            self._result.counts.packs += sender.packs
            scan.uncount()
            self._commit(root, time_ns)
        except (Stopped, Cut):
            raise self._reason() from None
        finally:
            self._line.stop()
            sender.close()
            self._pool.stop()

    def _context(self) -> tuple:
        """What decides which entries of a directory are backed up, and which of them together."""
        options = self._options
        rules = options.exclusions.key() if options.exclusions is not None else ()
        return options.one_filesystem, rules, options.afm.databases, sorted(options.afm.groups.items())

    def _reason(self) -> BaseException:
        """Why the line stopped. A refusal says more than the closed connection after it."""
        error = self._line.error
        if error is None or isinstance(error, Cut):
            try:
                self._session.channel.check()
            except (AgentError, Refusal) as told:
                return told
        return error or AgentError("INTERNAL", "backup: stopped without a reason")

    def _commit(self, root, time_ns: int) -> None:
        counts = self._result.counts
        answer = self._session.commit(REF.unpack(root.ref)[1:], time_ns, counts.files, counts.bytes, self._options.label)
        self._result.view = answer.view
        self._result.stored_bytes = answer.stored_bytes
        self._result.damage = bool(answer.damage)
        self._cache.commit(answer.view, self._sources)
        if self._options.fda is not None:
            self._options.fda.committed()

    # -- the scan's thread

    def _event(self, event) -> None:
        if not self._waiting.holds(event):
            self._pass(event)
        if self._waiting.busy():
            self._waiting.poll()
            self._pass_all(self._waiting.take())

    def _wait(self) -> None:
        """For what is not safe yet."""
        self._waiting.complete()
        while self._waiting.busy():
            self._line.check()
            self._waiting.wait()
            self._pass_all(self._waiting.take())
            self._dispatch()
        self._pass_all(self._waiting.take())
        self._pass_all(self._waiting.rest())

    def _pass_all(self, events: list) -> None:
        for event in events:
            self._pass(event)

    def _pass(self, event) -> None:
        self._events.append(event)
        if isinstance(event, Task) and event.slot is None and not self._is_there(event):
            self._tasks.append(event)
            self._progress.expect(event.status.st_size)
        if len(self._tasks) >= BATCH or len(self._events) >= _BATCH_EVENTS:
            self._dispatch()

    def _is_there(self, task: Task) -> bool:
        """Whether the file arrived before the connection was cut, and is as it was then."""
        known = self.arrived.file(task)
        if known is not None:
            task.finish(known[0], task.status, task.status.st_size, 0, known[1])
            task.found = "modified" if task.modified else "new"
        return known is not None

    def _dispatch(self) -> None:
        """Hand a batch to the next thread."""
        if not self._events:
            return
        self._resolving.put((self._events, self._tasks), self._waiting.poll)
        self._events, self._tasks = [], []

    # -- the resolving thread

    def _resolve(self) -> None:
        """Several batches under way: while the newest is asked for, others are read, proven and finished, each a step further."""
        ahead: list = []  # [events, their Round], oldest first
        more = True
        while more or ahead:
            if more and not (ahead and self._resolving.empty()):
                batch = self._resolving.get()
                more = batch is not None
                if more:
                    ahead.append((batch[0], self._elimination.ask(batch[1])))
            for _, round_ in reversed(ahead):
                self._elimination.step(round_)
            while ahead and ahead[0][1].finished:
                self._split(ahead.pop(0)[0])
        self._units.put(None)

    def _split(self, events: list) -> None:
        """Units of work for the readers: one large file, or events with some small ones."""
        unit: list = []
        small: list = []
        size = 0
        for event in events:
            unread = isinstance(event, Task) and event.slot is None
            if unread and event.status.st_size > contents.BLOCK_BYTES:
                self._small(unit, small)
                unit, small, size = [], [], 0
                self._large(event)
                continue
            unit.append(event)
            if unread:
                small.append(event)
                size += event.status.st_size
                if size >= _UNIT_BYTES or len(small) >= _UNIT_FILES:
                    self._small(unit, small)
                    unit, small, size = [], [], 0
        self._small(unit, small)

    def _small(self, events: list, tasks: list) -> None:
        if events:
            self._units.put((events, self._pool.submit(self._read_all, tasks) if tasks else None))

    def _large(self, task: Task) -> None:
        pipe = self._line.pipe(_PIECES)
        self._units.put((task, pipe))
        self._pool.submit(self._read_into, task, pipe)

    # -- the readers

    def _resemble(self, task: Task) -> None:
        """A new file may be like one that is held: then that is its old version."""
        assert self._likeness
        try:
            with task.contents(self._files) as frozen:
                task.old = self._likeness.find(frozen.handle, frozen.status.st_size)
        except OSError:
            pass  # it is reported when it is read

    def _read(self, task: Task, old, untouched: bool):
        begun = self.arrived.begun(task)
        return reader.read(task.path, task.status, old, untouched, self._options.fda, self._files, task.frozen, begun)

    def _read_all(self, tasks: list) -> dict:
        """Messages of small files, by id of the task."""
        return {id(task): list(self._read(task, task.old, task.untouched)) for task in tasks}

    def _read_into(self, task: Task, pipe) -> None:
        """Messages of a large file, as they come."""
        try:
            if task.old is None and self._likeness is not None and not self.arrived.begun(task):
                self._resemble(task)
            for message in self._read(task, task.old, task.untouched):
                pipe.put(message)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001  the assembling thread waits for this one
            self._line.stop(error)

    # -- the assembling thread

    def _assemble(self, packer: Packer, sender: Sender) -> None:
        self._assembly.again()
        while (unit := self._units.get()) is not None:
            what, work = unit
            if isinstance(what, Task):
                self._assembly.event(what, _drain(work))
                self._line.drop(work)
                continue
            messages = work.result() if work is not None else {}
            for event in what:
                self._assembly.event(event, messages.get(id(event)))
        packer.flush()
        sender.finish()


def _drain(pipe):
    while True:
        message = pipe.get()
        yield message
        if message[0] in ("done", "failed"):
            return


def _begin(session, wait_s: float):
    """GRANT; waits while there is no slot, `wait_s` in all.

    At first shorter than the appliance says: after a cut it may hold the old connection's backup for a moment.
    """
    deadline = time.monotonic() + wait_s
    pause_s = 0.5
    while True:
        try:
            return session.begin()
        except Refusal as refusal:
            left_s = deadline - time.monotonic()
            if refusal.name != "BUSY" or left_s <= 0:
                raise
            time.sleep(min(pause_s, refusal.retry_s or _CUT_WAIT_S, left_s))
            pause_s *= 2


def backup(
    session, sources: list, cache: Cache | None = None, options: Options | None = None, progress=None, reconnect=None
) -> Result:
    """Back up `sources` (paths) as one view. `reconnect()` gives a new Session after a cut; without it a cut raises.

    Raises AgentError SOURCE, UNREACHABLE; Refusal BUSY, FULL, NO_DISK ... Files that could not be read are in `problems`.
    """
    options = options or Options()
    if len(options.label.encode()) > _LABEL_BYTES:
        raise AgentError("USAGE", f"label: expected at most {_LABEL_BYTES} bytes, got {len(options.label.encode())}")
    progress = progress or Quiet()
    paths = normal_sources(sources)
    kept = cache if cache is not None else Cache(None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    sent, fresh, attempts = 0, False, 0
    arrived = Arrived()
    try:
        while True:
            attempts += 1
            result = Result()
            before = session.channel.bytes_sent
            attempt = Attempt(session, kept, paths, options, progress, result, arrived)
            try:
                attempt.run(fresh)
                result.attempts = attempts
                if result.damage:
                    from agent_pc import heal  # seldom needed

                    result.healed = heal.heal(session, kept)
                result.counts.bytes_sent = result.bytes_sent = sent + session.channel.bytes_sent - before
                return result
            except (Cut, Refusal) as error:
                sent += session.channel.bytes_sent - before
                kept.rollback()
                gone = isinstance(error, Refusal) and error.name == "NOT_FOUND" and not fresh
                if reconnect is None or attempts >= _CUT_TRIES or not (gone or _away(error)):
                    raise
                fresh = fresh or gone  # what the cache refers to is not there any more: send without reference to it
                arrived = Arrived() if gone else attempt.arrived
                session = _again(session, reconnect, time.monotonic() + options.wait_s)
    finally:
        sys.setswitchinterval(interval)
        if cache is None:
            kept.close()


def _away(error: Exception) -> bool:
    """Whether the appliance may come back."""
    return isinstance(error, Cut) or (isinstance(error, Refusal) and error.name == "SHUTDOWN")


def _again(session, reconnect, deadline: float):
    """A new Session after the connection was cut; waits longer each time. Raises Cut when the deadline (monotonic s) has passed."""
    session.close()
    wait_s = 1
    while True:
        try:
            return reconnect()
        except Cut:
            if time.monotonic() + wait_s > deadline:
                raise
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _CUT_WAIT_S)
