"""firmware.console.login: hashes, and the brake on guessing."""

from firmware.console import login
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
