"""The pairing code and the two proofs that it makes.

A code is 16 characters of Crockford's base 32 in groups of four: the first 20 bits are those of the SHA-256 of the
appliance's certificate (DER), so that a person who pairs with the wrong box is told so; the other 60 bits are secret and live
15 minutes. Neither side sends them: each shows a BLAKE2b-256 keyed with the secret's 12 characters (ASCII) over

    LABEL of the sender, SHA-256 of the certificate (32 bytes), nonce of the agent (16 bytes)

so that a box in the middle, whose certificate differs, can use nothing of what it sees.
"""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP = 4
FINGERPRINT_CHARS = 4
SECRET_CHARS = 12
LIFETIME_S = 900
ATTEMPTS = 5  # wrong proofs before the code dies

AGENT_LABEL = b"bobbin pair agent\0"
APPLIANCE_LABEL = b"bobbin pair appliance\0"

_LOOKALIKES = (("O", "0"), ("I", "1"), ("L", "1"))


def encode(number: int, chars: int) -> str:
    """`number` as `chars` digits of base 32, most significant first."""
    return "".join([ALPHABET[number >> 5 * (chars - 1 - i) & 31] for i in range(chars)])


def fingerprint_part(digest: bytes) -> str:
    """First characters of the code, from the SHA-256 of the certificate."""
    return encode(digest[0] << 12 | digest[1] << 4 | digest[2] >> 4, FINGERPRINT_CHARS)


def format_code(fingerprint: str, secret: str) -> str:
    """As it is shown: groups of four."""
    code = fingerprint + secret
    return "-".join([code[i : i + GROUP] for i in range(0, len(code), GROUP)])


def parse_code(text: str):
    """(fingerprint, secret) of what a person typed: any case, spaces or dashes, O for 0, I and L for 1; None if it is no code."""
    code = text.upper().replace("-", "").replace(" ", "")
    for seen, meant in _LOOKALIKES:
        code = code.replace(seen, meant)
    if len(code) != FINGERPRINT_CHARS + SECRET_CHARS or not all([c in ALPHABET for c in code]):
        return None
    return code[:FINGERPRINT_CHARS], code[FINGERPRINT_CHARS:]


def statement(label: bytes, certificate_digest: bytes, nonce: bytes) -> bytes:
    """What the proof is over."""
    return label + certificate_digest + nonce
