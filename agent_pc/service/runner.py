"""`bobbin agent run`: asks the machine, backs up when it says so, and keeps agent.json for `bobbin status`.

One process for each state directory. SIGTERM and Ctrl-C end it between two steps or in the middle of a backup, which the next one
continues. What it says goes to stdout, for journald.
"""

import fcntl
import os
import time

from agent_pc import state as states
from agent_pc.exits import STATUS, AgentError
from agent_pc.service import policy as policies
from agent_pc.service.machine import OUTCOMES, RUNNING, Decision, Machine
from agent_pc.service.told import FILE, load
from firmware.formats.refusal import Refusal

_LOCK = "agent.lock"
_TICK_S = 30  # the longest sleep: a PC that was asleep looks at the clock again so soon after it wakes


class Outcome:
    """How a backup ended. `name` of exits.py or refusal.py; `document`: what agent.json keeps of it."""

    def __init__(self, name: str, text: str = "", retry_s: float = 0, document: dict | None = None):
        self.name = name
        self.text = text
        self.retry_s = retry_s
        self.document = document or {}


def attempt(backup, policy) -> Outcome:
    """`backup(policy)` gives a document; what it raises becomes an Outcome."""
    try:
        document = backup(policy)
        return Outcome("PARTIAL" if document.get("problems") else "OK", "", 0, document)
    except Refusal as refusal:
        return Outcome(refusal.name, f"the appliance refused: {refusal.text}", refusal.retry_s)
    except AgentError as error:
        return Outcome(error.name, str(error))
    except OSError as error:
        return Outcome("STATE", str(error))
    except Exception as error:  # noqa: BLE001  the service goes on
        return Outcome("INTERNAL", f"internal error: {error!r}")


def lock(directory: str):
    """Open file; while it is open no other agent runs on this state. Raises AgentError(BUSY)."""
    file = open(os.path.join(directory, _LOCK), "w")  # noqa: SIM115  open is what locks
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AgentError("BUSY", f"state directory {directory}: another agent runs on it") from None
    return file


class Runner:
    """`backup(policy)`: see `attempt`; `clock`: clock.Clock; `meter`: load.Meter; `sleep(s)`; `say(text)`."""

    def __init__(self, directory: str, backup, clock, meter, sleep=time.sleep, say=print, random=lambda: 0.5):
        self._directory = directory
        self._backup = backup
        self._clock = clock
        self._meter = meter
        self._sleep = sleep
        self._say = say
        self._last = load(directory).get("last") or {}
        self._written: dict = {}
        self._policy = policies.load(directory)
        age_s = clock.age_s(self._last.get("stamp"))
        self.machine = Machine(self._policy, clock.now_s(), age_s, random)

    def run(self, once: bool = False) -> int:
        """Until it is stopped by a signal (KeyboardInterrupt), or `once`: after one look. The exit status."""
        self._told("started", f"every {self._policy.delay_minutes} min: {', '.join(self._policy.sources)}")
        try:
            while True:
                outcome = self.step(0 if once else _TICK_S)
                if once:
                    return STATUS.get(outcome.name, STATUS["BUSY"]) if outcome is not None else 0
        except KeyboardInterrupt:
            self._say("stopped" + ("; the next backup goes on from here" if self.machine.state == RUNNING else ""))
            return 0
        finally:
            self._write("stopped", "the agent does not run", None)

    def step(self, tick_s: float = _TICK_S) -> Outcome | None:
        """Look, and sleep `tick_s` at most or back up: then how it ended."""
        self._reload()
        decision = self.machine.decide(self._clock.now_s(), self._meter.read())
        if not decision.run:
            self._told(self.machine.state, decision.reason, decision.wait_s)
            self._sleep(max(0.0, min(decision.wait_s, tick_s)))
            return None
        return self._run(decision)

    def _run(self, decision: Decision) -> Outcome:
        self._told(RUNNING, decision.reason)
        outcome = attempt(self._backup, self._policy)
        self.machine.finished(self._clock.now_s(), outcome.name, outcome.text, outcome.retry_s)
        if OUTCOMES.get(outcome.name) == "done":
            self._last = {**outcome.document, "outcome": outcome.name, "stamp": self._clock.stamp()}
            self._write(self.machine.state, "backed up", 60 * self._policy.delay_minutes)
            self._say(f"backed up: {_brief(outcome.document)}")
        else:
            self._say(f"{outcome.name}: {outcome.text}")
        return outcome

    def _reload(self) -> None:
        """Both policies may have changed. A broken agent.toml leaves the one before it in force."""
        try:
            self._policy = self.machine.policy = policies.load(self._directory)
        except AgentError as error:
            self._told("configuration", str(error))

    def _told(self, state: str, reason: str, wait_s: float | None = None) -> None:
        """Say and write what is new."""
        if self._write(state, reason, wait_s) and state not in ("waiting",):
            self._say(f"{state}: {reason}")

    def _write(self, state: str, reason: str, wait_s: float | None) -> bool:
        """Whether it differs from what agent.json says."""
        content = {"pid": os.getpid(), "state": state, "reason": reason, "last": self._last}
        if content == self._written:
            return False
        self._written = content
        after = None if wait_s is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._clock.wall_s() + wait_s))
        try:
            states.write(os.path.join(self._directory, FILE), {**content, "next": after})
        except OSError as error:
            self._say(f"{FILE}: cannot write: {error.strerror}")
        return True


def _brief(document: dict) -> str:
    return ", ".join(
        f"{key} {document[key]}" for key in ("view", "files", "new", "modified", "bytes_sent", "excluded") if key in document
    )
