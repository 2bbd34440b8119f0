"""The console of the real appliance process: over its pty with pyserial, over telnet with a socket, with a dying process."""

import socket
import time

import pytest

from tests.lab.appliance import PASSWORD, PROMPT, HostAppliance


@pytest.fixture
def box(tmp_path):
    with HostAppliance(tmp_path / "box") as appliance:
        yield appliance


def _set_password(box, new: str) -> None:
    box.console.line("password")
    for answer in (PASSWORD, new, new):
        box.console.expect("assword: |Again: ")
        box.console.line(answer)
    box.console.expect("password changed")
    box.console.expect(PROMPT)


def test_ready_once_login_format_and_everything_after_a_restart(box):
    assert box.log().count("bobbin: ready (version ") == 1
    box.log_in()
    assert "blank" in box.run("show disk")
    box.format_disk()
    assert box.json("client add pc1")["ok"]
    assert len(box.json("client pair pc1")["code"]) == 19
    assert box.run("set appliance.name cellar")
    assert box.stop() == 0
    assert "cellar" not in (box.folder / "disk.img").read_bytes()[:4096].decode("latin-1")
    box.start()
    box.log_in()
    status = box.json("show status")
    assert status["name"] == "cellar" and status["disk"]["clients"] == 1
    assert [row["name"] for row in box.json("show clients")["clients"]] == ["pc1"]


def test_killed_appliance_keeps_settings_clients_and_identity(box):
    box.log_in()
    box.format_disk()
    box.json("client add pc1")
    _set_password(box, "another password")
    fingerprint = box.json("client pair pc1")["code"][:4]
    box.kill()
    box.start()
    box.log_in("another password")
    assert box.json("client pair pc1")["code"][:4] == fingerprint


def test_wrong_password_costs_time_on_this_line(box):
    box.console.line("")
    for _ in range(2):
        box.console.expect("login: ")
        box.console.line("admin")
        box.console.expect("Password: ")
        box.console.line("guess")
        box.console.expect("login incorrect")
    began = time.monotonic()
    box.log_in()
    assert time.monotonic() - began > 1
    assert box.run("show log").count("wrong password") == 2
    assert "guess" not in box.console.seen


def test_type_ahead_editing_and_completion_over_the_pty(box):
    box.log_in()
    box.console.send("xhow vers\x01\x1b[3~s\x05i\t\rshow net\t\r")
    box.console.expect("micropython")
    box.console.expect("lan port")
    box.console.send("tape ?")
    box.console.expect("verify +read the cartridge")
    box.console.send("\x03")


def test_disk_that_is_not_ours_is_named_as_such_and_only_erased_by_the_word(box):
    box.log_in()
    box.stop()
    with open(box.folder / "disk.img", "r+b") as disk:
        disk.write(b"somebody's partition table")
    box.start()
    box.log_in()
    assert "not Bobbin's" in box.run("show disk")
    box.console.line("disk format")
    assert "NOT Bobbin's" in box.console.expect("(?s)It holds.*format it: ").group()
    box.console.line("erase")
    box.console.expect("nothing was done")
    assert (box.folder / "disk.img").read_bytes()[:8] == b"somebody"


def _telnet_port(box) -> int:
    _set_password(box, "another password")
    assert "is now" in box.run("set telnet.enabled on")
    for _ in range(100):
        port = box.json("show network")["telnet_port"]
        if port != "off":
            return port
        time.sleep(0.05)
    raise AssertionError("telnet did not come up")


def _until(peer, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        data = peer.recv(1000)
        assert data, seen
        seen += data
    return seen


def test_telnet_needs_a_changed_password_and_works(box):
    box.log_in()
    assert "factory password" in box.run("set telnet.enabled on")
    with socket.create_connection(("127.0.0.1", _telnet_port(box)), 10) as peer:
        assert b"\xff\xfb\x01" in _until(peer, b"login: ")
        peer.sendall(b"\xff\xfd\x01\xff\xfb\x1f\xff\xfa\x1f\x00\x32\x00\x18\xff\xf0admin\r\n")
        _until(peer, b"Password: ")
        peer.sendall(b"another password\r\0")
        _until(peer, b"bobbin> ")
        peer.sendall(b"show status --json\r\n")
        assert b'"ok": true' in _until(peer, b"bobbin> ")
        peer.sendall(b"exit\r\n")
        while peer.recv(1000):
            pass


def test_garbage_over_telnet_does_no_harm(box):
    box.log_in()
    port = _telnet_port(box)
    for filler in (b"\xff\xfa\x1f" + b"x" * 50000, bytes(range(256)) * 200, b"\xff\xfd\x18" * 5000, b"admin\r" * 3000):
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.settimeout(0.2)
            try:
                peer.sendall(filler)
                while peer.recv(65536):
                    pass
            except OSError:
                pass
    assert box.json("show status")["ok"] and "Traceback" not in box.log()


def test_reboot_restarts_the_process(box):
    box.log_in()
    box.console.line("reboot")
    box.console.expect("y/n")
    box.console.line("y")
    assert box.process.wait(20) == 75
