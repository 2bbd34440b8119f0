"""firmware.core.brake: pauses double, are bounded and forgotten; a bounded number of peers is remembered."""

from firmware.core.brake import Brake


class _Time:
    now = 0

    def __call__(self) -> int:
        return self.now


def test_brake_doubles_to_a_minute_and_never_locks_out():
    time = _Time()
    brake, delays = Brake(clock=time), []
    for _ in range(12):
        brake.failed("ttyS0")
        delays.append(brake.delay_ms("ttyS0"))
        time.now += delays[-1]
        assert brake.delay_ms("ttyS0") == 0
    assert delays[:6] == [1000, 2000, 4000, 8000, 16000, 32000] and max(delays) == 60000


def test_brake_counts_for_each_peer_and_is_forgotten():
    time = _Time()
    brake = Brake(clock=time)
    for _ in range(5):
        brake.failed("one")
    assert brake.delay_ms("other") == 0
    time.now += 5 * 60000
    brake.failed("one")
    assert brake.delay_ms("one") == 1000
    brake.succeeded("one")
    assert brake.delay_ms("one") == 0


def test_brake_remembers_a_bounded_number_of_peers():
    time = _Time()
    brake = Brake(clock=time)
    for number in range(1000):
        time.now += 1
        brake.failed("peer %d" % number)
    assert len(brake._failures) == 64 and brake.delay_ms("peer 999") == 1000


def test_free_failures_cost_nothing():
    time = _Time()
    brake, delays = Brake(free=3, longest_ms=30000, clock=time), []
    for _ in range(12):
        brake.failed("192.0.2.1")
        delays.append(brake.delay_ms("192.0.2.1") // 1000)
        time.now += 1000 * delays[-1]
    assert delays == [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    time.now += 600001
    brake.failed("192.0.2.1")
    assert brake.delay_ms("192.0.2.1") == 0
