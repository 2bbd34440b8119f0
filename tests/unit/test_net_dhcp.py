"""firmware.net.dhcp: a lease from a small server, hostile replies, silence."""

import asyncio
import random
import struct

from firmware.net import dhcp
from hal.errors import Timeout
from hal.loop import sleep_ms
from tests.unit.test_core_tasks import _supervisor

_MAC = bytes([0x52, 0x54, 0, 1, 2, 3])
_OPTIONS = b"\x01\x04\xff\xff\xff\x00" + b"\x03\x04\x0a\x00\x02\x02" + b"\x33\x04\x00\x01\x51\x80" + b"\x36\x04\x0a\x00\x02\x02"


def _reply(request: bytes, kind: int, address: bytes = b"\x0a\x00\x02\x0f") -> bytes:
    """What a server answers to `request`."""
    xid, mac = request[4:8], request[28:44]
    head = b"\x02\x01\x06\x00" + xid + bytes(8) + address + bytes(8) + mac + bytes(192) + b"\x63\x82\x53\x63"
    return head + b"\x35\x01" + bytes([kind]) + _OPTIONS + b"\xff"


class _Socket:
    """A server behind the client's socket: `answers(request)` gives a list of packets."""

    def __init__(self, answers):
        self.sent = []
        self._answers = answers
        self._waiting = []

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        self._waiting += self._answers(data)

    async def receive(self, limit: int, timeout_ms: int) -> bytes:
        if self._waiting:
            return self._waiting.pop(0)
        await sleep_ms(timeout_ms)
        raise Timeout("nothing came")

    async def close(self) -> None:
        pass


class _Machine:
    def __init__(self, socket):
        self.network = {"mac": "52:54:00:01:02:03"}
        self.set = []
        self._socket = socket

    async def open_broadcast(self, port: int, peer_port: int):
        assert (port, peer_port) == (68, 67)
        return self._socket

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        self.set.append((address, mask, gateway))


class _Config:
    def get(self, name: str) -> str:
        return "bobbin"


class _Appliance:
    def __init__(self, answers):
        self.socket = _Socket(answers)
        self.machine = _Machine(self.socket)
        self.config = _Config()
        self.log = _supervisor()[1]


def _kind(packet: bytes) -> int:
    return packet[242]


async def _served(answers, ms: int):
    appliance = _Appliance(answers)
    task = asyncio.create_task(dhcp.Client(appliance).run())
    await sleep_ms(ms)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    return appliance


async def test_lease():
    kinds = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.ACK}
    appliance = await _served(lambda request: [b"", b"x" * 240, _reply(request, kinds[_kind(request)])], 50)
    assert appliance.machine.set == [("10.0.2.15", "255.255.255.0", "10.0.2.2")]
    assert [_kind(packet) for packet in appliance.socket.sent] == [dhcp.DISCOVER, dhcp.REQUEST]
    assert b"\x32\x04\x0a\x00\x02\x0f" in appliance.socket.sent[1] and b"\x36\x04\x0a\x00\x02\x02" in appliance.socket.sent[1]


async def test_refusal_starts_over_and_silence_is_repeated():
    first, dhcp._FIRST_WAIT_MS = dhcp._FIRST_WAIT_MS, 5
    kinds = {dhcp.DISCOVER: dhcp.OFFER, dhcp.REQUEST: dhcp.NAK}
    refused = await _served(lambda request: [_reply(request, kinds[_kind(request)])], 100)
    silent = await _served(lambda request: [], 100)
    dhcp._FIRST_WAIT_MS = first
    assert refused.machine.set == [] and 4 <= len(refused.socket.sent) <= 12
    assert silent.machine.set == [] and 2 <= len(silent.socket.sent) <= 6


def _parse(packet: bytes, xid: int = 7):
    return dhcp.parse(packet, _MAC, xid)


def test_replies_for_others_and_malformed_ones_are_ignored():
    request = dhcp.build(dhcp.DISCOVER, _MAC, 7, "bobbin")
    good = _reply(request, dhcp.OFFER)
    assert _parse(good)[1].address == "10.0.2.15" and _parse(good)[1].seconds == 86400
    assert _parse(good, 8) is None and _parse(request) is None
    assert dhcp.parse(good, b"\0" * 6, 7) is None
    for end in range(len(good) - 3):
        cut = _parse(good[:end])
        assert cut is None or end >= 243
    assert _parse(good[:240] + b"\x35\x05\x02") is None
    assert _parse(good[:240] + b"\x35\x01\x02\x01\x03\xff\xff\xff\xff") is None


def test_lease_times_are_bounded():
    request = dhcp.build(dhcp.DISCOVER, _MAC, 7, "bobbin")
    for seconds, expected in ((0, 60), (0xFFFFFFFF, 7 * 86400)):
        packet = _reply(request, dhcp.ACK).replace(b"\x33\x04\x00\x01\x51\x80", b"\x33\x04" + struct.pack(">I", seconds))
        assert _parse(packet)[1].seconds == expected


def test_random_packets_never_fail():
    seed = 6
    random.seed(seed)
    good = _reply(dhcp.build(dhcp.DISCOVER, _MAC, 7, "bobbin"), dhcp.OFFER)
    for _ in range(2000):
        packet = bytearray(good)
        for _ in range(3):
            packet[random.getrandbits(16) % len(packet)] = random.getrandbits(8)
        _parse(bytes(packet))
