"""firmware.net.pairing: one use, expiry, attempts, tokens."""

import hashlib

from firmware.formats import pairing as formats
from firmware.formats.refusal import Refusal
from firmware.net import pairing
from tests.lab.door import Door

_NONCE = bytes(range(16))


class _Client:
    def __init__(self, number: int):
        self.id = number
        self.uuid = bytes([number]) * 16
        self.name = "pc%d" % number
        self.token_hash = bytes(32)


class _Clients:
    """The part of the store that pairing uses."""

    def __init__(self, count: int):
        self.clients = {number: _Client(number) for number in range(1, count + 1)}

    def client_by_uuid(self, uuid: bytes):
        for client in self.clients.values():
            if client.uuid == uuid:
                return client
        return None

    async def set_token(self, number: int, token_hash: bytes) -> None:
        self.clients[number].token_hash = token_hash


class _Time:
    """Stands in for now_ms in the modules given."""

    def __init__(self, *modules):
        self.now = 1000
        self._modules = [(module, module.now_ms) for module in modules]
        for module in modules:
            module.now_ms = lambda: self.now

    def restore(self) -> None:
        for module, original in self._modules:
            module.now_ms = original


def _door(count: int = 2):
    door = Door(_Clients(count))
    return door, door.store.clients


def _proof(door, code: str, label: bytes = formats.AGENT_LABEL) -> bytes:
    _, secret = formats.parse_code(code)
    digest = hashlib.sha256(door.identity.certificate).digest()
    return door.machine.processor.blake2b(formats.statement(label, digest, _NONCE), secret.encode())


async def _refused(awaitable) -> str:
    try:
        await awaitable
    except Refusal as refusal:
        return refusal.name
    return ""


async def test_code_pairs_once():
    door, clients = _door()
    code = door.pairing.new_code(clients[1])
    digest = hashlib.sha256(door.identity.certificate).digest()
    assert formats.parse_code(code)[0] == formats.fingerprint_part(digest)
    client, token, proof = await door.pairing.pair(_NONCE, _proof(door, code))
    assert client is clients[1] and len(token) == 32
    assert proof == _proof(door, code, formats.APPLIANCE_LABEL)
    assert clients[1].token_hash == door.machine.processor.blake2b(token)
    assert await _refused(door.pairing.pair(_NONCE, _proof(door, code))) == "PAIRING"
    assert (await door.pairing.authenticate(client.uuid, token)) is client


async def test_pairing_again_replaces_the_token():
    door, clients = _door()
    tokens = []
    for _ in range(2):
        _, token, _ = await door.pairing.pair(_NONCE, _proof(door, door.pairing.new_code(clients[1])))
        tokens.append(token)
    assert tokens[0] != tokens[1]
    assert await _refused(door.pairing.authenticate(clients[1].uuid, tokens[0])) == "AUTH"
    assert await door.pairing.authenticate(clients[1].uuid, tokens[1])


async def test_unknown_unpaired_and_wrong_look_the_same():
    door, clients = _door()
    texts = []
    for uuid in (clients[1].uuid, bytes(16)):
        for token in (bytes(32), b"x" * 32):
            try:
                await door.pairing.authenticate(uuid, token)
            except Refusal as refusal:
                texts.append((refusal.name, refusal.text))
    assert len(texts) == 4 and len(set(texts)) == 1


async def test_new_code_voids_the_old_one():
    door, clients = _door()
    old, new = door.pairing.new_code(clients[1]), door.pairing.new_code(clients[1])
    assert old != new and door.pairing.live() == 1
    assert await _refused(door.pairing.pair(_NONCE, _proof(door, old))) == "PAIRING"
    assert await door.pairing.pair(_NONCE, _proof(door, new))


async def test_wrong_proofs_kill_the_codes():
    door, clients = _door()
    codes = [door.pairing.new_code(client) for client in clients.values()]
    for _ in range(formats.ATTEMPTS - 1):
        assert await _refused(door.pairing.pair(_NONCE, b"w" * 32)) == "PAIRING"
    assert await door.pairing.pair(_NONCE, _proof(door, codes[0]))
    assert await _refused(door.pairing.pair(_NONCE, b"w" * 32)) == "PAIRING"
    assert door.pairing.live() == 0
    assert await _refused(door.pairing.pair(_NONCE, _proof(door, codes[1]))) == "PAIRING"


async def test_codes_expire_and_are_bounded():
    time = _Time(pairing)
    try:
        door, clients = _door(pairing.CODES + 1)
        code = door.pairing.new_code(clients[1])
        time.now += formats.LIFETIME_S * 1000 - 1
        assert door.pairing.live() == 1
        time.now += 1
        assert door.pairing.live() == 0
        assert await _refused(door.pairing.pair(_NONCE, _proof(door, code))) == "PAIRING"
        for number in range(1, pairing.CODES + 1):
            door.pairing.new_code(clients[number])
        try:
            door.pairing.new_code(clients[pairing.CODES + 1])
            assert False, "one code too many"
        except Refusal as refusal:
            assert refusal.name == "LIMIT"
        door.pairing.new_code(clients[1])
    finally:
        time.restore()


async def test_removed_client_and_no_disk():
    door, clients = _door()
    code = door.pairing.new_code(clients[1])
    del clients[1]
    assert await _refused(door.pairing.pair(_NONCE, _proof(door, code))) == "PAIRING"
    door.store = None
    assert await _refused(door.pairing.pair(_NONCE, bytes(32))) == "NO_DISK"
    assert await _refused(door.pairing.authenticate(bytes(16), bytes(32))) == "NO_DISK"
