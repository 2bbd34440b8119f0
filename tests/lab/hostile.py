"""Things that a hostile peer does to the agents' port. Each is one function (host, random source, address) and returns when done.

`host` is a `Target`. Nothing here checks an answer, but that the appliance closes what it must: tests/host/test_wire_hostile.py
checks the appliance after each.
"""

import socket
import ssl
import struct
import time

from firmware.formats import limits, message, pack
from firmware.formats.frame import FRAME, PROTOCOL
from firmware.formats.refusal import Refusal
from firmware.net.channel import body_bound
from tests.formats import samples
from tests.lab.wire import Wire, known, make_pack

AGENT_TYPES = [number for number, sender in message.SENDER.items() if sender == "agent"]
_GONE = (OSError, ssl.SSLError, EOFError)


class Target:
    """`address` of the port, `identity` (uuid, token) of a client that the hostile peer owns."""

    def __init__(self, address, identity):
        self.address = address
        self.identity = identity


def _plain(target, source: str) -> socket.socket:
    return socket.create_connection(target.address, 10, (source, 0))


def _reset(plain: socket.socket) -> None:
    """Close with a RST."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def _sample_body(source, type_: int) -> bytes:
    record = message.RECORDS[type_]
    style = source.choice(samples.SAMPLES)
    return samples.packed(record, samples.sample(record, style))


def _valid(source, type_: int, grant=None) -> bytes:
    """A body that parses, with values that make some sense."""
    if type_ == message.HELLO:
        return message.RECORDS[type_].pack(PROTOCOL, "fuzz")
    if type_ == message.PACK and grant is not None:
        kind = source.choice(pack.KINDS)
        items = [source.randbytes(source.randrange(200)) for _ in range(source.randrange(1, 5))]
        return make_pack(kind, grant.group, grant[1 + kind], items)
    return _sample_body(source, type_)


def _mutated(source, body: bytes) -> bytes:
    """Bits flipped, bytes replaced, cut or added."""
    body = bytearray(body)
    for _ in range(source.randrange(1, 4)):
        way = source.randrange(4)
        at = source.randrange(len(body) + 1)
        if way == 0 and at < len(body):
            body[at] ^= 1 << source.randrange(8)
        elif way == 1 and at < len(body):
            body[at : at + 4] = source.choice((b"\xff" * 4, bytes(4), source.randbytes(4)))
        elif way == 2:
            del body[at:]
        else:
            body[at:at] = source.randbytes(source.randrange(1, 40))
    return bytes(body)


def _until_closed(wire: Wire) -> None:
    """Read whatever comes until the appliance closes."""
    try:
        while wire.socket.recv(1 << 16):
            pass
    except TimeoutError:
        raise AssertionError("the appliance keeps a connection open that it should close")
    except _GONE:
        pass


def noise_instead_of_tls(target, source, address: str) -> None:
    """Random bytes where a ClientHello should be; some cut off, some reset."""
    for _ in range(60):
        try:
            plain = _plain(target, address)
            plain.sendall(source.randbytes(source.choice((0, 1, 5, 200, 20000))))
            source.choice((_reset, socket.socket.close))(plain)
        except _GONE:
            pass


def old_tls(target, source, address: str) -> None:
    """TLS 1.2 must not be spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for _ in range(3):
        plain = _plain(target, address)
        try:
            context.wrap_socket(plain)
        except _GONE:
            plain.close()
        else:
            raise AssertionError("the appliance speaks TLS 1.2")


def noise_inside_tls(target, source, address: str) -> None:
    """Random bytes as frames."""
    for _ in range(12):
        try:
            with Wire(target.address, address, 15) as wire:
                wire.send_raw(source.randbytes(source.choice((8, 9, 100, 5000))))
                _until_closed(wire)
        except _GONE:
            pass


def truncated_frames(target, source, address: str) -> None:
    """Good frames cut anywhere, then the end."""
    for turn in range(40):
        try:
            with Wire(target.address, address) as wire:
                stream = b""
                for type_ in (message.HELLO, source.choice((message.AUTH, message.PAIR))):
                    body = _valid(source, type_)
                    stream += FRAME.pack(len(body), type_, 0, turn) + body
                wire.send_raw(stream[: source.randrange(1, len(stream))])
        except _GONE:
            pass


def oversized_lengths(target, source, address: str) -> None:
    """Heads that promise more than any message may have, and bodies one byte over the bound."""
    for length in (limits.FRAME_BYTES_UNKNOWN + 1, limits.FRAME_BYTES + 1, 1 << 31, 0xFFFFFFFF):
        for type_ in (message.HELLO, message.PACK, 255):
            with Wire(target.address, address, 15) as wire:
                wire.send_raw(FRAME.pack(length, type_, 0, 1))
                wire.refusal()
    for type_ in AGENT_TYPES:
        if type_ not in (message.HELLO, message.PAIR, message.AUTH):
            _one_too_long(target, type_, address)


def _one_too_long(target, type_: int, address: str) -> None:
    with known(target.address, target.identity, address) as wire:
        while _begin(wire) is None:
            time.sleep(0.1)
        try:
            wire.send_body(type_, bytes(body_bound(type_) + 1))
            refusal = wire.refusal()
        except _GONE as error:
            raise AssertionError("%s: no ERROR, but %s" % (message.NAMES[type_], repr(error)))
        assert refusal.name in ("LIMIT", "PROTOCOL"), refusal.name


def _begin(wire: Wire):
    """GRANT, or None while the connection before this one has not yet ended."""
    try:
        return wire.ask("BEGIN", 1, 1, expect="GRANT")
    except Refusal as refusal:
        if refusal.name != "BUSY":
            raise
        return None


def mutated_messages(target, source, address: str) -> None:
    """Valid conversations with one message spoilt."""
    for _ in range(300):
        try:
            with known(target.address, target.identity, address) as wire:
                wire.socket.settimeout(20)
                grant = _begin(wire) if source.random() < 0.7 else None
                for _ in range(source.randrange(1, 4)):
                    type_ = source.choice(AGENT_TYPES)
                    wire.send_body(type_, _mutated(source, _valid(source, type_, grant)))
                wire.send("STATUS_GET")
                while wire.receive()[0] not in ("STATUS", "ERROR"):
                    pass
        except _GONE:
            pass


def wrong_proofs(target, source, address: str) -> None:
    """Tokens and proofs that are wrong or spoilt: refused, and slowed down after a few."""
    answers = []
    for turn in range(30):
        try:
            with Wire(target.address, address, 15) as wire:
                wire.hello()
                type_ = source.choice((message.AUTH, message.PAIR))
                body = _sample_body(source, type_)
                wire.send_body(type_, body if turn < 20 else _mutated(source, body))
                answers.append(wire.refusal().name)
        except _GONE:
            pass
    assert set(answers) <= {"AUTH", "PAIRING", "BUSY", "PROTOCOL", "LIMIT"}, answers
    assert "BUSY" in answers, "nothing slows this peer down: %s" % answers


def any_order(target, source, address: str) -> None:
    """Well-formed messages in any order, known client or not."""
    for _ in range(150):
        try:
            with Wire(target.address, address, 20) as wire:
                wire.hello()
                if source.random() < 0.8:
                    wire.auth(*target.identity)
                for _ in range(source.randrange(1, 12)):
                    type_ = source.choice(AGENT_TYPES)
                    wire.send_body(type_, _valid(source, type_), flags=source.random() < 0.02)
        except _GONE:
            pass


def hostile_requests(target, source, address: str) -> None:
    """Requests that parse and ask for too much, or for what is not there."""
    ends = (0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
    for _ in range(40):
        try:
            with known(target.address, target.identity, address) as wire:
                rows = [tuple(source.choice(ends) for _ in range(5)) for _ in range(4096)]
                wire.send("ITEMS_GET", source.choice((0, 1)), source.choice((0, 1, 2)), rows)
                wire.send("OWNED_GET", source.choice((0, 1)), [(source.choice(ends),) for _ in range(4096)])
                wire.send("PRINTS_GET", source.choice(ends), source.choice(ends))
                wire.send("VIEWS_GET", 0, source.choice(ends))
                wire.send("STATUS_GET")
                while wire.receive()[0] != "STATUS":
                    pass
        except _GONE:
            pass


def never_reads(target, source, address: str) -> None:
    """Asks and asks and never takes an answer, then vanishes."""
    for _ in range(3):
        try:
            with known(target.address, target.identity, address) as wire:
                wire.socket.settimeout(2)
                for _ in range(2000):
                    wire.send("STATUS_GET")
        except _GONE:
            pass


def open_and_drop(target, source, address: str) -> None:
    """Thousands of connections, opened and dropped at once."""
    for turn in range(3000):
        try:
            plain = _plain(target, address)
            if turn % 3 == 0:
                plain.send(b"\x16\x03\x01")
            source.choice((_reset, socket.socket.close))(plain)
        except _GONE:
            pass


def slow_loris(target, source, address: str) -> None:
    """Many connections that say a byte now and then; the appliance must end each within its bound."""
    held = [_plain(target, address) for _ in range(40)]
    began = time.monotonic()
    while held and time.monotonic() - began < 40:
        for plain in list(held):
            try:
                plain.settimeout(0.01)
                plain.send(b"\x16")
                if plain.recv(100) == b"":
                    raise ConnectionError
            except TimeoutError:
                continue
            except _GONE:
                plain.close()
                held.remove(plain)
        time.sleep(0.5)
    assert not held, "%d connections of a slow peer are still open" % len(held)


def slow_frames(target, source, address: str) -> None:
    """The same inside TLS: a frame that never ends."""
    wires = [Wire(target.address, address) for _ in range(4)]
    for wire in wires:
        wire.hello()
        wire.send_raw(FRAME.pack(48, message.AUTH, 0, 2))
    began = time.monotonic()
    try:
        while time.monotonic() - began < 40:
            for wire in wires:
                wire.send_raw(b"\0")
            time.sleep(0.5)
    except _GONE:
        pass
    for wire in wires:
        _until_closed(wire)
        wire.close()
    assert time.monotonic() - began < 20, "a frame took %d s" % (time.monotonic() - began)


ATTACKS = (
    noise_instead_of_tls,
    old_tls,
    noise_inside_tls,
    truncated_frames,
    oversized_lengths,
    mutated_messages,
    wrong_proofs,
    any_order,
    hostile_requests,
    never_reads,
    open_and_drop,
    slow_loris,
    slow_frames,
)
