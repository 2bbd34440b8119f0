"""DHCP client (RFC 2131, RFC 2132): gives the LAN interface its address and keeps it. Spawned by `firmware.network`."""

import binascii
import os
import struct

from hal.errors import BusError, Timeout
from hal.loop import now_ms

SERVER_PORT = 67
CLIENT_PORT = 68

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK = 1, 2, 3, 4, 5, 6  # RFC 2132 9.6

# Options that are used (RFC 2132).
_MASK, _ROUTER, _REQUESTED, _LEASE, _KIND, _SERVER, _WANTED, _CLIENT, _END, _PAD = 1, 3, 50, 51, 53, 54, 55, 61, 255, 0

_FIXED = "!BBBBIHH4s4s4s4s16s192x4s"
_FIXED_BYTES = struct.calcsize(_FIXED)
_COOKIE = b"\x63\x82\x53\x63"
_BOOT_REQUEST, _BOOT_REPLY = 1, 2
_ETHERNET = 1
_BROADCAST = 0x8000  # answers come as broadcasts: the interface has no address yet
_NOWHERE = bytes(4)
_LIMIT_BYTES = 1500

_FIRST_WAIT_MS = 2000
_LAST_WAIT_MS = 64000
_SHORTEST_LEASE_S = 60  # below that the network would be busy with us
_LONGEST_LEASE_S = 30 * 86400


class Lease:
    """`address`, `mask`, `gateway` ("" if none), `server` as dotted text; `seconds` it is valid."""

    def __init__(self, address: str, mask: str, gateway: str, server: str, seconds: int):
        self.address = address
        self.mask = mask
        self.gateway = gateway
        self.server = server
        self.seconds = seconds


def _packed(text: str) -> bytes:
    return bytes([int(part) for part in text.split(".")])


def _dotted(raw: bytes) -> str:
    return ".".join([str(value) for value in raw])


def message(kind: int, transaction: int, mac: bytes, client: str = "", requested: str = "", server: str = "") -> bytes:
    """A client's message. `client` is the address already in use, `requested` and `server` are options."""
    fixed = struct.pack(
        _FIXED,
        _BOOT_REQUEST,
        _ETHERNET,
        len(mac),
        0,
        transaction,
        0,
        0 if client else _BROADCAST,
        _packed(client) if client else _NOWHERE,
        _NOWHERE,
        _NOWHERE,
        _NOWHERE,
        mac,
        _COOKIE,
    )
    options = bytes((_KIND, 1, kind, _CLIENT, 1 + len(mac), _ETHERNET)) + mac + bytes((_WANTED, 2, _MASK, _ROUTER))
    if requested:
        options += bytes((_REQUESTED, 4)) + _packed(requested)
    if server:
        options += bytes((_SERVER, 4)) + _packed(server)
    return fixed + options + bytes((_END,))


def _options(data: bytes) -> dict:
    """{code: content}; what is cut off ends the list. An option that comes twice is joined (RFC 3396)."""
    found, at = {}, 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            break
        code, length = data[at], data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def parse(data: bytes, transaction: int, mac: bytes):
    """(kind, Lease or None) of a server's message to us, or None if it is not one. Anything may come here."""
    if len(data) < _FIXED_BYTES:
        return None
    fields = struct.unpack(_FIXED, data[:_FIXED_BYTES])
    operation, hardware, length, given, cookie = fields[0], fields[1], fields[2], fields[8], fields[12]
    if operation != _BOOT_REPLY or hardware != _ETHERNET or cookie != _COOKIE or fields[4] != transaction:
        return None
    if length != len(mac) or fields[11][:length] != mac:
        return None
    options = _options(data[_FIXED_BYTES:])
    kind = options.get(_KIND, b"")
    if kind == bytes((NAK,)):
        return NAK, None
    if kind not in (bytes((OFFER,)), bytes((ACK,))):
        return None
    lease = _lease(given, options)
    return (kind[0], lease) if lease else None


def _lease(given: bytes, options: dict):
    """None unless address, mask, server and time are usable."""
    mask, server, seconds = options.get(_MASK, b""), options.get(_SERVER, b""), options.get(_LEASE, b"")
    router = options.get(_ROUTER, b"")[:4]
    if len(mask) != 4 or len(server) != 4 or len(seconds) != 4 or not usable(given) or not _is_mask(mask):
        return None
    lasting = min(_LONGEST_LEASE_S, max(_SHORTEST_LEASE_S, struct.unpack("!I", seconds)[0]))
    gateway = _dotted(router) if len(router) == 4 and usable(router) else ""
    return Lease(_dotted(given), _dotted(mask), gateway, _dotted(server), lasting)


def usable(address: bytes) -> bool:
    """A host's unicast address: not 0/8, 127/8, nor 224/4 and above (RFC 6890)."""
    return 0 < address[0] < 224 and address[0] != 127


def _is_mask(raw: bytes) -> bool:
    inverted = struct.unpack("!I", raw)[0] ^ 0xFFFFFFFF
    return inverted & (inverted + 1) == 0 and inverted != 0xFFFFFFFF


# The states of RFC 2131 figure 5 and which may follow which.
INIT, REQUESTING, BOUND, RENEWING, REBINDING = "init", "requesting", "bound", "renewing", "rebinding"
MOVES = {
    INIT: (REQUESTING,),
    REQUESTING: (BOUND, INIT),
    BOUND: (RENEWING,),
    RENEWING: (BOUND, REBINDING, INIT),
    REBINDING: (BOUND, INIT),
}


class Client:
    """`appliance` offers `machine` and `log`. `state` and `lease` are for `show status`."""

    def __init__(self, appliance):
        self._machine = appliance.machine
        self._log = appliance.log
        self._steps = {
            INIT: self._discover,
            REQUESTING: self._request,
            BOUND: self._hold,
            RENEWING: self._renew,
            REBINDING: self._rebind,
        }
        self.state = INIT
        self.lease = None
        self._until_ms = 0
        self._silent = False

    def _transition(self, state: str) -> None:
        if state not in MOVES[self.state]:
            raise ValueError("DHCP client cannot go from %s to %s" % (self.state, state))
        self.state = state

    async def run(self) -> None:
        """For ever. Raises BusError (the port is taken), NotReady (no interface); the supervisor starts it again."""
        self.state = INIT
        self._link = await self._machine.open_datagrams(CLIENT_PORT, SERVER_PORT)
        self._mac = binascii.unhexlify(self._machine.network["mac"].replace(":", ""))
        try:
            while True:
                await self._steps[self.state]()
        finally:
            self._link.close()

    async def _exchange(self, build, wanted: tuple, address: str, until_ms: int):
        """Send `build(transaction)` again and again until one of `wanted` answers: (kind, lease), or None at `until_ms`."""
        transaction = struct.unpack("!I", os.urandom(4))[0]
        wait_ms = _FIRST_WAIT_MS
        while now_ms() < until_ms:
            deadline = min(until_ms, now_ms() + wait_ms)
            try:
                self._link.send(build(transaction), address)
            except BusError as error:
                self._log.debug("dhcp", str(error))
            answer = await self._answer(transaction, wanted, deadline)
            if answer:
                return answer
            wait_ms = min(_LAST_WAIT_MS, wait_ms * 2)
        return None

    async def _answer(self, transaction: int, wanted: tuple, deadline_ms: int):
        while now_ms() < deadline_ms:
            try:
                data = await self._link.receive(_LIMIT_BYTES, max(1, deadline_ms - now_ms()))
            except Timeout:
                return None
            answer = parse(data, transaction, self._mac)
            if answer and answer[0] in wanted:
                return answer
        return None

    async def _discover(self) -> None:
        def build(transaction: int) -> bytes:
            return message(DISCOVER, transaction, self._mac)

        answer = await self._exchange(build, (OFFER,), "255.255.255.255", now_ms() + _LAST_WAIT_MS)
        if answer:
            self.lease = answer[1]
            self._transition(REQUESTING)
            self._silent = False
        elif not self._silent:
            self._silent = True
            self._log.warning("dhcp", "no DHCP server answers: connect the cable, or use `set net.mode static`")

    async def _request(self) -> None:
        def build(transaction: int) -> bytes:
            return message(REQUEST, transaction, self._mac, "", self.lease.address, self.lease.server)

        answer = await self._exchange(build, (ACK, NAK), "255.255.255.255", now_ms() + 4 * _FIRST_WAIT_MS)
        await self._settle(answer, True)

    async def _settle(self, answer, final: bool) -> bool:
        """Act on the answer to a request: bound, or back to the start (`final`: also when nobody answered)."""
        if answer and answer[0] == ACK:
            await self._bind(answer[1])
            return True
        if answer or final:
            await self._drop()
            return True
        return False

    async def _bind(self, lease) -> None:
        changed = self._machine.network.get("address") != lease.address
        self.lease = lease
        self._until_ms = now_ms() + lease.seconds * 1000
        if changed:
            await self._machine.configure_network(lease.address, lease.mask, lease.gateway)
            self._log.info("dhcp", "address %s from %s for %d s" % (lease.address, lease.server, lease.seconds))
        self._transition(BOUND)

    async def _drop(self) -> None:
        """The address is not ours any more."""
        if self._machine.network.get("address"):
            self._log.warning("dhcp", "lost the address %s" % self._machine.network["address"])
            await self._machine.configure_network("", "", "")
        self.lease = None
        self._transition(INIT)

    def _at(self, part: int, of: int) -> int:
        """now_ms when `part`/`of` of the lease is over."""
        return self._until_ms - self.lease.seconds * 1000 * (of - part) // of

    async def _hold(self) -> None:
        # Answers nobody asked for are taken off the socket and dropped.
        await self._answer(-1, (), self._at(1, 2))
        self._transition(RENEWING)

    def _again(self, transaction: int) -> bytes:
        return message(REQUEST, transaction, self._mac, self.lease.address)

    async def _renew(self) -> None:
        """T1 (half of the lease): ask the server that gave it."""
        answer = await self._exchange(self._again, (ACK, NAK), self.lease.server, self._at(7, 8))
        if not await self._settle(answer, False):
            self._transition(REBINDING)

    async def _rebind(self) -> None:
        """T2 (7/8 of the lease): ask every server."""
        answer = await self._exchange(self._again, (ACK, NAK), "255.255.255.255", self._until_ms)
        await self._settle(answer, True)
