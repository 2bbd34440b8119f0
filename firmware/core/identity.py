"""The appliance's TLS identity: a key and a self-signed certificate, made once. Agents pin the certificate when they pair."""

import hashlib

from firmware.formats.config import IDENTITY
from firmware.formats.record import FormatError


class Identity:
    """`certificate` and `key` in DER; `fingerprint` is the SHA-256 of the certificate."""

    def __init__(self, certificate: bytes, key: bytes):
        self.certificate = certificate
        self.key = key
        self.fingerprint = hashlib.sha256(certificate).digest()


async def load_or_create(slots, machine, common_name: str) -> Identity:
    """From `slots` (firmware.core.slots.Slots, or None: a new one at every start), else made by `machine.make_identity`.

    Raises HalError; FormatError if what is stored is no identity although its checksum is right.
    """
    content = await slots.load() if slots else None
    if content is not None:
        return _unpack(content)
    certificate, key = machine.make_identity(common_name)
    if slots:
        await slots.save(IDENTITY.pack(len(certificate), len(key)) + certificate + key)
    return Identity(certificate, key)


def _unpack(content: bytes) -> Identity:
    head, at = IDENTITY.unpack_from(content)
    if at + head.certificate_bytes + head.key_bytes != len(content):
        raise FormatError(
            "config.IDENTITY: expected %d bytes, got %d" % (at + head.certificate_bytes + head.key_bytes, len(content))
        )
    middle = at + head.certificate_bytes
    return Identity(content[at:middle], content[middle:])
