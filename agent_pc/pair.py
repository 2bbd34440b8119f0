"""Pairing: proves the code that the console printed, and keeps what comes back. `bobbin pair`."""

import hashlib
import hmac
import os
import socket

from agent_pc import tls
from agent_pc.exits import AgentError
from agent_pc.session import greet
from agent_pc.state import State, prepare
from firmware.formats import message, pairing


def pair(code: str, host: str, port: int, directory: str) -> State:
    """The pairing, saved. Raises AgentError(PAIRING) for no code, CERTIFICATE for the wrong box, Refusal PAIRING."""
    parsed = pairing.parse_code(code)
    if parsed is None:
        raise AgentError("PAIRING", f"pairing code: expected 16 letters and digits as the console shows them, got {code!r}")
    fingerprint, secret = parsed
    _writable(directory)
    where = f"{host}:{port}"
    connection = tls.connect(host, port)
    certificate = tls.certificate(connection, where)
    digest = hashlib.sha256(certificate).digest()
    shown = pairing.fingerprint_part(digest)
    if shown != fingerprint:
        connection.close()
        raise AgentError(
            "CERTIFICATE",
            f"appliance {where}: expected a certificate whose fingerprint begins {fingerprint} (from the code), got {shown}; "
            "nothing was sent. Check code and address: this is another appliance, or somebody is in between",
        )
    channel, welcome, _ = greet(connection, where)
    try:
        answer = _prove(channel, secret.encode(), digest)
    finally:
        channel.close()
    state = State(directory, host, port, certificate, welcome.uuid, answer.uuid, answer.token, answer.name)
    state.save()
    return state


def _writable(directory: str) -> None:
    """The code works once: find out before it is used that its result cannot be kept."""
    try:
        prepare(directory)
    except OSError as error:
        raise AgentError(
            "STATE", f"state directory {directory}: cannot write: {error.strerror}; choose another with --state"
        ) from None


def _prove(channel, key: bytes, digest: bytes):
    """PAIRED. Raises AgentError(PAIRING) if the appliance cannot show that it knows the code."""
    nonce = os.urandom(16)
    answer = channel.call(
        message.PAIR, (nonce, _proof(key, pairing.AGENT_LABEL, digest, nonce), socket.gethostname()[:64]), message.PAIRED
    )
    if not hmac.compare_digest(answer.proof, _proof(key, pairing.APPLIANCE_LABEL, digest, nonce)):
        raise AgentError("PAIRING", "appliance: it does not know the pairing code itself; nothing was kept. Check the address")
    return answer


def _proof(key: bytes, label: bytes, digest: bytes, nonce: bytes) -> bytes:
    return hashlib.blake2b(pairing.statement(label, digest, nonce), key=key, digest_size=32).digest()
