"""A plain synchronous client of the protocol, for tests: TLS 1.3 and frames, so that anything can be sent, wrong things first.

Independent of agent_pc on purpose: it checks nothing that a test does not ask it to.
"""

import hashlib
import os
import socket
import ssl
import threading

from firmware.formats import message, pack, pairing
from firmware.formats.frame import FRAME, PROTOCOL
from firmware.formats.refusal import NAMES as REFUSALS
from firmware.formats.refusal import Refusal
from firmware.store.packs import item_sum, table_of
from hal.linux.rwp import NativeProcessor

TIMEOUT_S = 30


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Processors(threading.local):
    """One for each thread: its buffers are used again."""

    def __init__(self):
        self.native = NativeProcessor()


_processors = _Processors()


def processor() -> NativeProcessor:
    """Of the calling thread."""
    return _processors.native


def blake2b(data, key: bytes = b"") -> bytes:
    """BLAKE2b-256."""
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def make_pack(kind: int, group: int, first: int, items) -> bytes:
    """A raw pack of these items."""
    table = table_of(processor(), items)
    raw = b"".join(items)
    return pack.HEADER.pack(kind, pack.RAW, len(items), group, first, len(raw), len(raw)) + table + raw


class Wire:
    """One connection. `source` is the local address it comes from. Everything raises OSError when the appliance closed."""

    def __init__(self, address, source: str = "", timeout_s: float = TIMEOUT_S):
        plain = socket.create_connection(address, timeout_s, (source, 0) if source else None)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = _context().wrap_socket(plain)
        except BaseException:
            plain.close()
            raise
        self.request = 0

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def certificate(self) -> bytes:
        """DER."""
        return self.socket.getpeercert(True)

    def send_raw(self, data) -> None:
        """Any bytes at all."""
        self.socket.sendall(data)

    def send_body(self, type_: int, body=b"", flags: int = 0) -> None:
        """A frame with any body."""
        self.request = self.request + 1 & 0xFFFF
        self.send_raw(FRAME.pack(len(body), type_, flags, self.request) + bytes(body))

    def send(self, name: str, *values) -> None:
        """A message of the table."""
        type_ = message.TYPES[name]
        self.send_body(type_, message.RECORDS[type_].pack(*values))

    def receive(self):
        """(name, values or pack body, request number). An ERROR comes like any other."""
        frame, _ = FRAME.unpack_from(self._exactly(FRAME.size))
        body = self._exactly(frame.length)
        values = body if frame.type in message.BODY_IS_PACK else message.RECORDS[frame.type].unpack(body)
        return message.NAMES[frame.type], values, frame.request

    def answer(self, expected: str):
        """Values of the next message, which must be `expected`. Raises Refusal for an ERROR."""
        name, values, request = self.receive()
        if name == "ERROR":
            raise Refusal(REFUSALS[values.code], values.text, values.retry_s)
        assert name == expected and request == self.request, (name, expected, request, self.request)
        return values

    def ask(self, name: str, *values, expect: str):
        """Send and wait for the one answer."""
        self.send(name, *values)
        return self.answer(expect)

    def refusal(self):
        """The next message must be ERROR; gives it as a Refusal."""
        name, values, _ = self.receive()
        assert name == "ERROR", name
        return Refusal(REFUSALS[values.code], values.text, values.retry_s)

    def closed(self) -> bool:
        """Whether the appliance has closed with nothing more to say; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True

    def hello(self):
        return self.ask("HELLO", PROTOCOL, "wire test", expect="WELCOME")

    def pair(self, code: str):
        """(uuid, token) after HELLO and PAIR with this code; checks the appliance's proof."""
        _, secret = pairing.parse_code(code)
        digest = hashlib.sha256(self.certificate()).digest()
        nonce = os.urandom(16)
        proof = blake2b(pairing.statement(pairing.AGENT_LABEL, digest, nonce), secret.encode())
        paired = self.ask("PAIR", nonce, proof, "test", expect="PAIRED")
        assert paired.proof == blake2b(pairing.statement(pairing.APPLIANCE_LABEL, digest, nonce), secret.encode())
        return paired.uuid, paired.token

    def auth(self, uuid: bytes, token: bytes):
        return self.ask("AUTH", uuid, token, expect="READY")

    def fetch(self, name: str, *values):
        """(items, [(row, text)] lost) of an ITEMS_GET, the packs taken apart and every hash checked."""
        self.send(name, *values)
        items, lost = [], []
        while True:
            answer, found, request = self.receive()
            assert request == self.request
            if answer == "DATA":
                items += unpack_items(found)
            elif answer == "LOST":
                lost.append((found.row, found.text))
            elif answer == "END":
                assert bool(found.lost) == bool(lost)
                return items, lost
            else:
                raise Refusal(REFUSALS[found.code], found.text, found.retry_s)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self.socket.recv(min(count, 1 << 16))
            if not part:
                raise ConnectionError("the appliance closed")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def unpack_items(body) -> list:
    """Items of a pack; their hashes must be right."""
    header, lengths, payload = pack.check(body)
    raw, at = body[payload:], 0
    if header.codec == pack.ZSTD:
        room = bytearray(header.raw_bytes)
        assert processor().decompress(raw, room) == header.raw_bytes
        raw = bytes(room)
    items = []
    for position, length in enumerate(lengths):
        items.append(raw[at : at + length])
        assert item_sum(processor(), items[-1]) == pack.sums(body, position, position + 1)
        at += length
    return items


def known(address, identity, source: str = "") -> Wire:
    """A connection that has authenticated; `identity` is (uuid, token)."""
    wire = Wire(address, source)
    wire.hello()
    wire.auth(*identity)
    return wire
