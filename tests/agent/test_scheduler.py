"""agent_pc.service.machine and runner: when a PC is backed up, over simulated weeks, and what happens to what goes wrong."""

import dataclasses
import json
import random

import pytest

from agent_pc.exits import AgentError
from agent_pc.service import machine as m
from agent_pc.service import policy, runner
from agent_pc.service.clock import Clock
from agent_pc.service.load import busy_percent
from agent_pc.service.machine import Machine, Reading
from firmware.formats.refusal import Refusal

_DAY_S = 86400


def _policy(**user):
    return policy.Policy({"sources": ["/x"], **user}, {})


def _ran(machine, now_s, reading=None, outcome="OK", **how):
    decision = machine.decide(now_s, reading or Reading())
    assert decision.run, decision.reason
    machine.finished(now_s, outcome, **how)
    return decision


def test_a_pc_that_was_never_backed_up_is_at_once():
    machine = Machine(_policy(), 1000, None)
    _ran(machine, 1000)
    assert machine.state == m.WAITING
    decision = machine.decide(1000 + 3599, Reading())
    assert not decision.run and decision.wait_s == 1
    _ran(machine, 1000 + 3600)


def test_a_busy_pc_is_asked_every_five_minutes_and_forced_after_thirty():
    machine = Machine(_policy(), 0, None)
    busy, now_s, asked = Reading(busy_percent=97), 0.0, 0
    while not (decision := machine.decide(now_s, busy)).run:
        assert machine.state == m.LOADED and "97" in decision.reason and decision.wait_s == 300
        now_s += decision.wait_s
        asked += 1
    assert decision.forced and now_s == 1800 and asked == 6
    machine.finished(now_s, "OK")
    assert not machine.decide(now_s + 1, busy).run


def test_a_pc_that_becomes_free_is_not_forced():
    machine = Machine(_policy(), 0, None)
    assert not machine.decide(0, Reading(95)).run
    assert not machine.decide(299, Reading(0)).run  # it looks again when it said it would
    decision = machine.decide(300, Reading(94.9))
    assert decision.run and not decision.forced


def test_battery():
    machine = Machine(_policy(), 0, None)
    assert "battery" in machine.decide(0, Reading(0, 19)).reason
    assert machine.decide(300, Reading(0, 20)).run
    machine.finished(300, "OK")
    now_s = 300.0 + 3600
    for _ in range(50):  # one that is about to go out is never forced
        decision = machine.decide(now_s, Reading(0, 4))
        assert not decision.run
        now_s += decision.wait_s
    assert machine.decide(now_s, Reading(0, None)).run


def test_an_appliance_that_is_away_is_tried_more_and_more_rarely_and_at_once_in_a_new_network():
    machine = Machine(_policy(), 0, None)
    now_s, pauses = 0.0, []
    _ran(machine, 0, outcome="UNREACHABLE", text="no route")
    for _ in range(6):
        decision = machine.decide(now_s, Reading())
        pauses.append(decision.wait_s)
        assert machine.state == m.AWAY and "no route" in decision.reason
        now_s += decision.wait_s
        _ran(machine, now_s, outcome="UNREACHABLE", text="no route")
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert not machine.decide(now_s + 1, Reading()).run
    _ran(machine, now_s + 2, Reading(network="home"))
    assert machine.state == m.WAITING


@pytest.mark.parametrize(
    "outcome,retry_s,state,wait_s",
    (
        ("BUSY", 45, m.REFUSED, 45),
        ("BUSY", 0, m.REFUSED, 300),
        ("FULL", 9999, m.REFUSED, 300),
        ("AUTH", 0, m.BROKEN, 1800),
        ("INTERNAL", 0, m.BROKEN, 1800),
        ("SHUTDOWN", 60, m.AWAY, 30),
        ("PARTIAL", 0, m.WAITING, 3600),
    ),
)
def test_how_a_backup_ends(outcome, retry_s, state, wait_s):
    machine = Machine(_policy(), 0, None)
    _ran(machine, 0, outcome=outcome, retry_s=retry_s)
    assert machine.state == state and machine.decide(0, Reading()).wait_s == wait_s


def test_only_legal_moves():
    machine = Machine(_policy(), 0, None)
    with pytest.raises(KeyError):
        machine.finished(0, "OK")
    assert set(m.MOVES) == {m.WAITING, m.LOADED, m.REFUSED, m.AWAY, m.RUNNING, m.BROKEN}


@dataclasses.dataclass
class _World:
    """A laptop and an appliance, by the second of the week."""

    rng: random.Random

    def __post_init__(self):
        self.asleep = self._spans(14, 600, 10 * 3600)
        self.busy = self._spans(20, 60, 3 * 3600)
        self.away = self._spans(10, 60, 12 * 3600)
        self.low = self._spans(5, 600, 7200)
        self.full = self._spans(5, 60, 7200)

    def _spans(self, count, least, most):
        starts = sorted(self.rng.sample(range(7 * _DAY_S), count))
        return [(start, start + self.rng.randint(least, most)) for start in starts]

    def within(self, spans, now_s):
        return any(begin <= now_s < end for begin, end in spans)

    def wakes(self, now_s):
        """When the PC is awake next."""
        while self.within(self.asleep, now_s):
            now_s = max(end for begin, end in self.asleep if begin <= now_s < end)
        return now_s


@pytest.mark.parametrize("seed", range(40))
def test_a_week(seed):
    """Never early, never later than it must be, though the PC sleeps, works, moves and the appliance comes and goes."""
    print("seed", seed)
    rng = random.Random(seed)
    world = _World(rng)
    made = _policy(delay_minutes=rng.choice((15, 60, 240)))
    machine = Machine(made, 0, None, rng.random)
    now_s, last_s, good_s, done, tick_s = 0.0, None, 0.0, 0, 30
    while now_s < 7 * _DAY_S:
        awake_s = world.wakes(now_s)
        slept = awake_s > now_s
        now_s = awake_s
        away = world.within(world.away, now_s)
        reading = Reading(
            99 if world.within(world.busy, now_s) else rng.uniform(0, 90), 12 if world.within(world.low, now_s) else None, away
        )
        decision = machine.decide(now_s, reading)
        if slept or away or world.within(world.full, now_s):
            good_s = 0.0  # how long without a break the PC was awake, overdue, and could have been served
        if not decision.run:
            step_s = min(max(decision.wait_s, 0.1), tick_s)
            overdue = last_s is None or now_s - last_s > 60 * made.delay_minutes
            good_s = good_s + step_s if overdue else 0.0
            assert good_s <= 1800 + 2 * 360 + tick_s, f"overdue for {good_s} s at {now_s}: {decision.reason}"
            now_s += step_s
            continue
        assert last_s is None or now_s - last_s >= 60 * made.delay_minutes - 1e-6
        assert decision.forced or reading.busy_percent < 95 and reading.battery_percent is None
        now_s += rng.uniform(1, 200)
        outcome = (
            "UNREACHABLE" if away or world.within(world.away, now_s) else "BUSY" if world.within(world.full, now_s) else "OK"
        )
        machine.finished(now_s, outcome, "", rng.choice((0, 30)))
        if outcome == "OK":
            last_s, done, good_s = now_s, done + 1, 0.0
    assert done > 10


class _Clock(Clock):
    def __init__(self, boot="a", now_s=100.0, wall_s=1e9):
        self.boot, self.now, self.wall = boot, now_s, wall_s

    def now_s(self):
        return self.now

    def wall_s(self):
        return self.wall


def test_the_age_of_a_backup():
    stamp = _Clock().stamp()
    assert _Clock(now_s=160, wall_s=5).age_s(stamp) == 60  # the wall clock was set: no matter
    assert _Clock("b", 3, 1e9 + 500).age_s(stamp) == 500  # restarted
    assert _Clock("b", 3, 1e9 - 500).age_s(stamp) is None  # restarted, and the clock is wrong: due
    assert _Clock().age_s(None) is None and _Clock().age_s({"boot": "a"}) is None
    assert Clock().age_s(Clock().stamp()) < 60


def test_waiting_for_disks_is_load_and_niceness_is_not():
    times = __import__("collections").namedtuple("times", "user nice system idle iowait guest")
    before = times(0, 0, 0, 0, 0, 0)
    assert busy_percent(before, times(10, 0, 0, 90, 0, 10)) == 10
    assert busy_percent(before, times(0, 0, 0, 10, 90, 0)) == 90
    assert busy_percent(before, times(0, 50, 0, 50, 0, 0)) == 0
    assert busy_percent(before, before) == 0


class _Bench:
    """A Runner with everything about it made up."""

    def __init__(self, folder, ends, clock=None):
        self.clock = clock or _Clock()
        self.said: list = []
        self.reading = Reading()
        self.ends = list(ends)
        self.made = runner.Runner(str(folder), self._backup, self.clock, self, self._sleep, self.said.append)

    def read(self):
        return self.reading

    def _sleep(self, seconds):
        self.clock.now += seconds
        self.clock.wall += seconds

    def _backup(self, policy):
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end


def test_the_runner_catches_up_and_says_so(tmp_path):
    ends = [AgentError("UNREACHABLE", "nobody there"), Refusal("BUSY", "no slot", 20), {"view": 7, "files": 3, "problems": 0}]
    bench = _Bench(tmp_path, [*ends, KeyboardInterrupt()])
    while not bench.made._last:
        bench.made.step()
        kept = runner.load(tmp_path)
        assert kept["pid"] and kept["state"] in m.MOVES
    assert bench.clock.now == 150  # 30 s for the one, 20 s for the other
    again = _Bench(tmp_path, [], bench.clock)  # after kill -9
    assert again.made.step() is None and runner.load(tmp_path)["last"]["view"] == 7
    bench.clock.now += 4000
    assert bench.made.run() == 0  # the signal comes in the middle of a backup
    assert any("goes on from here" in line for line in bench.said)
    assert runner.load(tmp_path)["state"] == "stopped"


def test_once_gives_the_status_of_the_backup(tmp_path):
    assert _Bench(tmp_path, [{"problems": 2}]).made.run(once=True) == 7
    assert _Bench(tmp_path / "", [AgentError("AUTH", "unknown")]).made.machine.state == m.WAITING


def test_a_broken_configuration_leaves_the_one_before(tmp_path):
    bench = _Bench(tmp_path, [{"problems": 0}] * 3)
    bench.made.step()
    (tmp_path / "agent.toml").write_text("delay_minutes = 1\nload_percent = 'x'\n")
    bench.made.step()
    assert bench.made.machine.policy.delay_minutes == 60
    assert any("load_percent" in line and "'x'" in line for line in bench.said)
    (tmp_path / "agent.toml").write_text("delay_minutes = 1\n")
    bench.made.step()
    assert bench.made.machine.policy.delay_minutes == 1


def test_one_instance(tmp_path):
    held = runner.lock(str(tmp_path))
    with pytest.raises(AgentError, match="another agent"):
        runner.lock(str(tmp_path))
    held.close()
    runner.lock(str(tmp_path)).close()


def test_a_broken_agent_json_is_nothing(tmp_path):
    for text in ("", "[]", "{", '{"last": {"stamp": {"clock_s": "x"}}}'):
        (tmp_path / runner.FILE).write_text(text)
        assert _Bench(tmp_path, [{"problems": 0}]).made.run(once=True) == 0
    assert json.loads((tmp_path / runner.FILE).read_text())["last"]["outcome"] == "OK"
