"""firmware.console.login: hashes, and the brake on guessing."""

from firmware.console import login
from firmware.console.login import Brake
from tests.lab.sim_machine import SimMachine


def test_factory_password():
    assert login.check(SimMachine(), "", "admin", "bobbin")
    for user, password in (("admin", "Bobbin"), ("admin", ""), ("root", "bobbin"), ("", "")):
        assert not login.check(SimMachine(), "", user, password)


def test_hash_is_salted_and_checks():
    machine = SimMachine()
    one, other = login.make_hash(machine, "correct horse"), login.make_hash(machine, "correct horse")
    assert one != other and "horse" not in one
    assert login.check(machine, one, "admin", "correct horse")
    assert not login.check(machine, one, "admin", "correct hors") and not login.check(machine, one, "admin", "bobbin")
    assert not login.check(machine, one, "root", "correct horse")


def test_new_passwords():
    assert login.complaint("short") and login.complaint("x" * 65) and login.complaint("long enough") is None
    assert login.complaint(login.FACTORY_PASSWORD)


class _Time:
    now = 0

    def __call__(self) -> int:
        return self.now


def test_brake_doubles_to_a_minute_and_never_locks_out():
    time = _Time()
    brake, delays = Brake(time), []
    for _ in range(12):
        brake.failed("ttyS0")
        delays.append(brake.delay_ms("ttyS0"))
        time.now += delays[-1]
        assert brake.delay_ms("ttyS0") == 0
    assert delays[:6] == [1000, 2000, 4000, 8000, 16000, 32000] and max(delays) == 60000


def test_brake_counts_for_each_peer_and_is_forgotten():
    time = _Time()
    brake = Brake(time)
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
    brake = Brake(time)
    for number in range(1000):
        time.now += 1
        brake.failed("peer %d" % number)
    assert len(brake._failures) == 64 and brake.delay_ms("peer 999") == 1000
