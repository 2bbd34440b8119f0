"""When to back up: a table of states, driven by a clock and the load. Pure: `runner` asks and tells, tests simulate weeks.

Seconds are of a clock that counts sleep and never jumps (clock.py). The patent's scheduler (WO 99/12098, module 310): target delay,
then the load, again after a while, by force after a limit; refused or away: again until it is let in.
"""

from agent_pc.exits import STATUS

WAITING = "waiting"  # the last backup is young enough
LOADED = "put off"  # due; the PC is busy
REFUSED = "refused"  # due; the appliance said not now
AWAY = "away"  # due; the appliance cannot be reached
RUNNING = "running"
BROKEN = "broken"  # due; somebody must do something: pair again, mend agent.toml

# Events.
START, BUSY, DONE, NOT_NOW, GONE, FAULT = "start", "busy", "done", "not now", "gone", "fault"

# state -> {event: state}
MOVES = {
    WAITING: {START: RUNNING, BUSY: LOADED},
    LOADED: {START: RUNNING, BUSY: LOADED},
    REFUSED: {START: RUNNING, BUSY: LOADED},
    AWAY: {START: RUNNING, BUSY: LOADED},
    BROKEN: {START: RUNNING, BUSY: LOADED},
    RUNNING: {DONE: WAITING, NOT_NOW: REFUSED, GONE: AWAY, FAULT: BROKEN},
}

# How a backup ended (a name of exits.py or refusal.py) -> event; any other is a FAULT.
OUTCOMES = {
    "OK": DONE,
    "PARTIAL": DONE,
    "BUSY": NOT_NOW,
    "FULL": NOT_NOW,
    "NO_DISK": NOT_NOW,
    "UNREACHABLE": GONE,
    "SHUTDOWN": GONE,
}
assert {"OK", "PARTIAL", "UNREACHABLE"} <= set(STATUS)

_AWAY_S = 30  # first pause when the appliance is away; doubles up to the retry time
_REFUSED_LEAST_S = 10
_BROKEN_S = 1800
_CRITICAL_PERCENT = 5  # a PC that is about to go out is never forced
_SPREAD = 0.2  # a thousand PCs that lost the same appliance do not all come back in one second


class Reading:
    """What the PC is doing. `busy_percent`: CPU and waiting for disks; `battery_percent`: None on mains; `network`: changes when it does."""

    def __init__(self, busy_percent: float = 0.0, battery_percent: float | None = None, network: object = None):
        self.busy_percent = busy_percent
        self.battery_percent = battery_percent
        self.network = network


class Decision:
    """`run`: back up now, `forced` although the PC is busy; else look again in `wait_s`. `reason` is for people."""

    def __init__(self, run: bool, wait_s: float, reason: str, forced: bool = False):
        self.run = run
        self.wait_s = wait_s
        self.reason = reason
        self.forced = forced


class Machine:
    """`age_s`: how old the last backup is, None if there is none; `random()`: 0 to 1."""

    def __init__(self, policy, now_s: float, age_s: float | None, random=lambda: 0.5):
        self.policy = policy
        self.state = WAITING
        self.text = ""  # why the last attempt failed
        self._random = random
        self._last_s = None if age_s is None else now_s - age_s
        self._again_s = now_s
        self._put_off_s: float | None = None  # when the PC was found busy first
        self._pause_s = float(_AWAY_S)
        self._network: object = None

    def move(self, event: str) -> None:
        self.state = MOVES[self.state][event]

    def due_s(self) -> float | None:
        """When the next backup is due, None if at once."""
        return None if self._last_s is None else self._last_s + 60 * self.policy.delay_minutes

    def decide(self, now_s: float, reading: Reading) -> Decision:
        """What to do now. A decision to run is followed by `finished`."""
        moved = reading.network != self._network and self.state == AWAY
        self._network = reading.network
        due_s = self.due_s()
        if due_s is not None and now_s < due_s:
            return Decision(False, due_s - now_s, "the last backup is young enough")
        if now_s < self._again_s and not moved:
            return Decision(False, self._again_s - now_s, self._why())
        return self._weigh(now_s, reading)

    def _weigh(self, now_s: float, reading: Reading) -> Decision:
        """It is time: is the PC free, or has it been busy for too long?"""
        why = self._busy(reading)
        if not why:
            self.move(START)
            return Decision(True, 0, "due")
        if self._put_off_s is None:
            self._put_off_s = now_s
        critical = reading.battery_percent is not None and reading.battery_percent < _CRITICAL_PERCENT
        force_s = self._put_off_s + 60 * self.policy.force_minutes
        if now_s >= force_s and not critical:
            self.move(START)
            return Decision(True, 0, f"forced: {why}", True)
        self.move(BUSY)
        self.text = why
        retry_s = now_s + 60 * self.policy.retry_minutes
        self._again_s = retry_s if critical else min(retry_s, force_s)
        return Decision(False, self._again_s - now_s, why)

    def _busy(self, reading: Reading) -> str:
        """Why the PC should be left alone, "" if it should not."""
        if reading.battery_percent is not None and reading.battery_percent < self.policy.battery_percent:
            return f"battery at {reading.battery_percent:.0f} %, below {self.policy.battery_percent} %"
        if reading.busy_percent >= self.policy.load_percent:
            return f"the PC is busy: {reading.busy_percent:.0f} %, the limit is {self.policy.load_percent} %"
        return ""

    def _why(self) -> str:
        return f"{self.state}: {self.text}" if self.text else self.state

    def finished(self, now_s: float, outcome: str, text: str = "", retry_s: float = 0) -> None:
        """The backup ended. `outcome`: a name of exits.py or refusal.py; `retry_s`: what the appliance asked for."""
        event = OUTCOMES.get(outcome, FAULT)
        self.move(event)
        self.text = "" if event == DONE else text
        if event == DONE:
            self._last_s, self._put_off_s, self._pause_s = now_s, None, float(_AWAY_S)
            self._again_s = now_s
            return
        longest_s = 60.0 * self.policy.retry_minutes
        if event == GONE:
            pause_s = min(self._pause_s, longest_s)
            self._pause_s = 2 * pause_s
        elif event == NOT_NOW:
            pause_s = min(max(retry_s or longest_s, _REFUSED_LEAST_S), longest_s)
        else:
            pause_s = _BROKEN_S
        self._again_s = now_s + pause_s * (1 + _SPREAD * (2 * self._random() - 1))
