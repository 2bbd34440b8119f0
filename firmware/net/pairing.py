"""Pairing codes: made by the console for a client, proven by an agent, used once. One object of the appliance, in memory only.

The arithmetic of codes and proofs is firmware/formats/pairing.py. An agent does not say which client it means: its proof is
compared with every live code, and a wrong one counts against all of them.
"""

import hashlib
import os

from firmware.formats import pairing
from firmware.formats.refusal import Refusal
from hal.loop import now_ms

CODES = 16  # live codes at most
TOKEN_BYTES = 32
_SECRET_BYTES = 8


class _Code:
    def __init__(self, client, secret: str):
        self.client = client
        self.key = secret.encode()
        self.expires_ms = now_ms() + pairing.LIFETIME_S * 1000
        self.attempts = pairing.ATTEMPTS


class Pairing:
    """`appliance` gives the store, the certificate and the processor at the time they are needed."""

    def __init__(self, appliance):
        self._appliance = appliance
        self._codes = {}
        self._blind = os.urandom(TOKEN_BYTES)

    def new_code(self, client) -> str:
        """A code for this client; an older one of the same client is void. Raises Refusal LIMIT with too many live codes."""
        self._expire()
        if client.id not in self._codes and len(self._codes) >= CODES:
            raise Refusal("LIMIT", "%d pairing codes are open, no more at a time: use one or wait" % CODES)
        secret = pairing.encode(int.from_bytes(os.urandom(_SECRET_BYTES), "big"), pairing.SECRET_CHARS)
        self._codes[client.id] = _Code(client, secret)
        return pairing.format_code(pairing.fingerprint_part(self._certificate_digest()), secret)

    def live(self) -> int:
        """Codes that may still be used."""
        self._expire()
        return len(self._codes)

    async def pair(self, nonce: bytes, proof: bytes):
        """(client, token, proof of the appliance). The code is used up. Raises Refusal PAIRING, always the same, and NO_DISK."""
        store = self._appliance.store
        if store is None:
            raise Refusal("NO_DISK", "the appliance has no formatted disk: format it on the console")
        code = self._match(nonce, proof)
        if code is None or store.client_by_uuid(code.client.uuid) is None:
            raise Refusal("PAIRING", "the pairing code is wrong, used or expired: ask for a new one on the console")
        token = os.urandom(TOKEN_BYTES)
        await store.set_token(code.client.id, self._appliance.machine.processor.blake2b(token))
        return code.client, token, self._proof(code.key, pairing.APPLIANCE_LABEL, nonce)

    async def authenticate(self, uuid: bytes, token: bytes):
        """The client of `uuid`. Raises Refusal AUTH, the same for an unknown client and a wrong token, and NO_DISK."""
        store = self._appliance.store
        if store is None:
            raise Refusal("NO_DISK", "the appliance has no formatted disk: format it on the console")
        client = store.client_by_uuid(uuid)
        held = client.token_hash if client else bytes(TOKEN_BYTES)
        same = self.same(held, self._appliance.machine.processor.blake2b(token))
        if client is None or not same:
            raise Refusal("AUTH", "client unknown or token wrong: pair this agent again")
        return client

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether two secrets are equal; how long it takes says nothing about them, as both are hashed with a key of our own."""
        hashed = self._appliance.machine.processor.blake2b
        return hashed(one, self._blind) == hashed(other, self._blind)

    def _match(self, nonce: bytes, proof: bytes):
        """The code that `proof` shows, used up by it; None if there is none."""
        self._expire()
        found = None
        for code in list(self._codes.values()):
            if self.same(self._proof(code.key, pairing.AGENT_LABEL, nonce), proof):
                found = code
        if found:
            del self._codes[found.client.id]
            return found
        for code in list(self._codes.values()):
            code.attempts -= 1
            if code.attempts == 0:
                del self._codes[code.client.id]
        return None

    def _proof(self, key: bytes, label: bytes, nonce: bytes) -> bytes:
        text = pairing.statement(label, self._certificate_digest(), nonce)
        return self._appliance.machine.processor.blake2b(text, key)

    def _certificate_digest(self) -> bytes:
        return hashlib.sha256(self._appliance.identity.certificate).digest()

    def _expire(self) -> None:
        now = now_ms()
        for code in list(self._codes.values()):
            if code.expires_ms <= now:
                del self._codes[code.client.id]
