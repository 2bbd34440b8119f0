"""DHCP: messages as RFC 2131 has them, hostile answers, and a client against a server that misbehaves in steps."""

import asyncio
import struct

from firmware.net import dhcp
from hal import loop
from hal.errors import Timeout

_MAC = b"\x52\x54\x00\x12\x34\x56"
_IP = b"\x0a\x00\x02\x0f"


def _answer(kind: int, transaction: int, options: bytes, address: bytes = _IP, mac: bytes = _MAC, operation: int = 2) -> bytes:
    fixed = struct.pack(
        "!BBBBIHH4s4s4s4s16s192x4s",
        operation,
        1,
        6,
        0,
        transaction,
        0,
        0,
        bytes(4),
        address,
        bytes(4),
        bytes(4),
        mac,
        b"\x63\x82\x53\x63",
    )
    return fixed + bytes((53, 1, kind)) + options + b"\xff"


_GOOD = b"\x01\x04\xff\xff\xff\x00" + b"\x03\x04\x0a\x00\x02\x02" + b"\x36\x04\x0a\x00\x02\x03" + b"\x33\x04\x00\x00\x0e\x10"


def test_discover_is_what_the_rfc_says():
    data = dhcp.message(dhcp.DISCOVER, 0x12345678, _MAC)
    assert data[:4] == b"\x01\x01\x06\x00" and data[4:8] == b"\x12\x34\x56\x78"
    assert data[10:12] == b"\x80\x00", "without an address the answer has to be a broadcast"
    assert data[28:34] == _MAC and data[236:240] == b"\x63\x82\x53\x63"
    assert data[240:243] == b"\x35\x01\x01" and data[-1] == 255


def test_request_names_address_and_server():
    data = dhcp.message(dhcp.REQUEST, 1, _MAC, "", "10.0.2.15", "10.0.2.2")
    assert b"\x32\x04" + _IP in data and b"\x36\x04\x0a\x00\x02\x02" in data
    renewal = dhcp.message(dhcp.REQUEST, 1, _MAC, "10.0.2.15")
    assert renewal[12:16] == _IP and b"\x32\x04" not in renewal[240:] and renewal[10:12] == bytes(2)


def test_offer_is_understood():
    kind, lease = dhcp.parse(_answer(dhcp.OFFER, 7, _GOOD), 7, _MAC)
    assert kind == dhcp.OFFER
    assert (lease.address, lease.mask, lease.gateway, lease.server, lease.seconds) == (
        "10.0.2.15",
        "255.255.255.0",
        "10.0.2.2",
        "10.0.2.3",
        3600,
    )


def test_what_is_not_for_us_is_dropped():
    good = _answer(dhcp.OFFER, 7, _GOOD)
    assert dhcp.parse(good, 8, _MAC) is None
    assert dhcp.parse(good, 7, b"\x52\x54\x00\x12\x34\x57") is None
    assert dhcp.parse(_answer(dhcp.OFFER, 7, _GOOD, operation=1), 7, _MAC) is None
    assert dhcp.parse(_answer(dhcp.DISCOVER, 7, _GOOD), 7, _MAC) is None


def test_unusable_leases_are_refused():
    for address in (bytes(4), b"\x7f\x00\x00\x01", b"\xe0\x00\x00\x01", b"\xff\xff\xff\xff"):
        assert dhcp.parse(_answer(dhcp.ACK, 7, _GOOD, address), 7, _MAC) is None
    for mask in (b"\x00\x00\x00\x00", b"\xff\x00\xff\x00", b"\x01\x00\x00\x00"):
        assert dhcp.parse(_answer(dhcp.ACK, 7, b"\x01\x04" + mask + _GOOD[6:]), 7, _MAC) is None
    assert dhcp.parse(_answer(dhcp.ACK, 7, _GOOD[:12]), 7, _MAC) is None


def test_lease_time_is_bounded():
    for raw, expected in ((b"\x00\x00\x00\x01", 60), (b"\xff\xff\xff\xff", 30 * 86400)):
        _, lease = dhcp.parse(_answer(dhcp.ACK, 7, _GOOD[:-4] + raw), 7, _MAC)
        assert lease.seconds == expected


def test_cut_and_garbled_messages_do_no_harm():
    good = _answer(dhcp.ACK, 7, b"\x00\x00" + _GOOD)
    assert dhcp.parse(good, 7, _MAC)[1].address == "10.0.2.15"
    for length in range(len(good)):
        dhcp.parse(good[:length], 7, _MAC)
    for at in range(len(good)):
        dhcp.parse(good[:at] + bytes((good[at] ^ 0xFF,)) + good[at + 1 :], 7, _MAC)


class _Link:
    """Plays a server: each entry of `script` answers one message (None: silence)."""

    def __init__(self, script: list):
        self.script = script
        self.sent = []
        self._answers = []

    def send(self, data: bytes, address: str = "") -> None:
        self.sent.append((data, address))
        answer = self.script.pop(0) if self.script else None
        if answer:
            kind, options = answer
            self._answers.append(_answer(kind, struct.unpack("!I", data[4:8])[0], options))

    async def receive(self, limit: int, timeout_ms: int) -> bytes:
        if self._answers:
            return self._answers.pop(0)
        await loop.sleep_ms(1)
        raise Timeout("nothing")

    def close(self) -> None:
        pass


class _Appliance:
    def __init__(self, link):
        self.machine = self
        self.log = self
        self.network = {"mac": "52:54:00:12:34:56", "address": ""}
        self.lines = []
        self._link = link

    async def open_datagrams(self, port: int, peer_port: int):
        assert (port, peer_port) == (68, 67)
        return self._link

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        self.network["address"] = address

    def _line(self, source: str, text: str) -> None:
        self.lines.append(text)

    debug = info = warning = _line


def _walk(script: list, steps: int) -> tuple:
    """Run the client's own steps; waits cost nothing because the link says Timeout at once."""
    link = _Link(script)
    appliance = _Appliance(link)
    client = dhcp.Client(appliance)

    async def go() -> None:
        client._link = await appliance.open_datagrams(68, 67)
        client._mac = _MAC
        for _ in range(steps):
            await client._steps[client.state]()

    asyncio.run(go())
    return client, appliance, link


def test_an_address_is_got():
    client, appliance, link = _walk([(dhcp.OFFER, _GOOD), (dhcp.ACK, _GOOD)], 2)
    assert client.state == dhcp.BOUND and appliance.network["address"] == "10.0.2.15"
    assert len(link.sent) == 2


def test_a_refused_request_starts_again():
    client, appliance, _ = _walk([(dhcp.OFFER, _GOOD), (dhcp.NAK, b""), (dhcp.OFFER, _GOOD), (dhcp.ACK, _GOOD)], 4)
    assert client.state == dhcp.BOUND and appliance.network["address"] == "10.0.2.15"


def test_a_lost_lease_takes_the_address_away():
    client, appliance, link = _walk([(dhcp.OFFER, _GOOD), (dhcp.ACK, _GOOD), (dhcp.NAK, b"")], 4)
    assert client.state == dhcp.INIT and appliance.network["address"] == ""
    assert link.sent[2][1] == "10.0.2.3", "a renewal goes to the server that gave the lease"


def test_states_that_may_not_follow_are_refused():
    client = dhcp.Client(_Appliance(_Link([])))
    try:
        client._transition(dhcp.BOUND)
    except ValueError:
        return
    raise AssertionError("init to bound was accepted")
