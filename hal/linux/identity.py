"""The appliance's key, certificate and password hashing. Called by the boards' `make_identity` and for the console password.

mbedTLS 3.6 through ffi on MicroPython; on CPython, for tests, the openssl command and hashlib.
"""

import os

from hal.errors import Unsupported
from hal.loop import MICROPYTHON
from hal.native import Library, at, callback

# Fixed, because the clock of a box without a battery is wrong; clients pin the certificate and do not look at the dates.
_NOT_BEFORE = "20250101000000"
_NOT_AFTER = "20550101000000"
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._ "
_NAME_BYTES = 64  # ub-common-name, RFC 5280
_SERIAL_BYTES = 16
_DIGEST_BYTES = 32

_MD_SHA256 = 9  # mbedtls/md.h, 3.6
_PK_ECKEY = 2
_SECP256R1 = 3
_VERSION_3 = 2
_STRUCT_BYTES = 4096  # room for any of the structures below, which take less than 1 KiB
_DER_BYTES = 4096
_PK_CTX = 8  # offset of pk_ctx in mbedtls_pk_context: the key pair

_crypto = Library(
    ("libmbedcrypto.so.16",),
    {
        "mbedtls_pk_init": ("v", "p"),
        "mbedtls_pk_free": ("v", "p"),
        "mbedtls_pk_info_from_type": ("p", "i"),
        "mbedtls_pk_setup": ("i", "pp"),
        "mbedtls_pk_write_key_der": ("i", "ppL"),
        "mbedtls_ecp_gen_key": ("i", "ippp"),
        "mbedtls_pkcs5_pbkdf2_hmac_ext": ("i", "ipLpLIIp"),
    },
)

_x509 = Library(
    ("libmbedx509.so.7",),
    {
        "mbedtls_x509write_crt_init": ("v", "p"),
        "mbedtls_x509write_crt_free": ("v", "p"),
        "mbedtls_x509write_crt_set_version": ("v", "pi"),
        "mbedtls_x509write_crt_set_md_alg": ("v", "pi"),
        "mbedtls_x509write_crt_set_subject_key": ("v", "pp"),
        "mbedtls_x509write_crt_set_issuer_key": ("v", "pp"),
        "mbedtls_x509write_crt_set_subject_name": ("i", "ps"),
        "mbedtls_x509write_crt_set_issuer_name": ("i", "ps"),
        "mbedtls_x509write_crt_set_serial_raw": ("i", "ppL"),
        "mbedtls_x509write_crt_set_validity": ("i", "pss"),
        "mbedtls_x509write_crt_set_basic_constraints": ("i", "pii"),
        "mbedtls_x509write_crt_der": ("i", "ppLpp"),
    },
)


def _check(result: int, what: str) -> int:
    if result < 0:
        raise Unsupported("mbedTLS: %s failed with -0x%04x" % (what, -result))
    return result


def _fill_random(_, where: int, length: int) -> int:
    at(where, length)[:] = os.urandom(length)
    return 0


def _tail(buffer: bytearray, length: int) -> bytes:
    """mbedTLS writes DER at the end of its buffer."""
    return bytes(buffer[len(buffer) - length :])


def _mbedtls_identity(common_name: str) -> tuple:
    random = callback("i", _fill_random, "ppL")
    key = bytearray(_STRUCT_BYTES)
    _crypto.mbedtls_pk_init(key)
    try:
        _check(_crypto.mbedtls_pk_setup(key, _crypto.mbedtls_pk_info_from_type(_PK_ECKEY)), "key setup")
        pair = int.from_bytes(key[_PK_CTX : _PK_CTX + 8], "little")
        _check(_crypto.mbedtls_ecp_gen_key(_SECP256R1, pair, random, None), "key generation")
        out = bytearray(_DER_BYTES)
        der = _tail(out, _check(_crypto.mbedtls_pk_write_key_der(key, out, len(out)), "writing the key"))
        return _certificate(common_name, key, random), der
    finally:
        _crypto.mbedtls_pk_free(key)


def _certificate(common_name: str, key: bytearray, random) -> bytes:
    name = "CN=" + common_name
    serial = b"\x01" + os.urandom(_SERIAL_BYTES - 1)  # positive and without a leading zero
    crt = bytearray(_STRUCT_BYTES)
    out = bytearray(_DER_BYTES)
    _x509.mbedtls_x509write_crt_init(crt)
    try:
        _x509.mbedtls_x509write_crt_set_version(crt, _VERSION_3)
        _x509.mbedtls_x509write_crt_set_md_alg(crt, _MD_SHA256)
        _x509.mbedtls_x509write_crt_set_subject_key(crt, key)
        _x509.mbedtls_x509write_crt_set_issuer_key(crt, key)
        _check(_x509.mbedtls_x509write_crt_set_subject_name(crt, name), "subject " + name)
        _check(_x509.mbedtls_x509write_crt_set_issuer_name(crt, name), "issuer " + name)
        _check(_x509.mbedtls_x509write_crt_set_serial_raw(crt, serial, len(serial)), "serial number")
        _check(_x509.mbedtls_x509write_crt_set_validity(crt, _NOT_BEFORE, _NOT_AFTER), "validity")
        _check(_x509.mbedtls_x509write_crt_set_basic_constraints(crt, 0, -1), "basic constraints")
        return _tail(out, _check(_x509.mbedtls_x509write_crt_der(crt, out, len(out), random, None), "signing"))
    finally:
        _x509.mbedtls_x509write_crt_free(crt)


if MICROPYTHON:
    _make = _mbedtls_identity

    def pbkdf2(password: bytes, salt: bytes, rounds: int) -> bytes:
        """PBKDF2-HMAC-SHA256 (RFC 8018), 32 bytes. Blocks the loop: 10 to 25 ms for 10,000 rounds."""
        out = bytearray(_DIGEST_BYTES)
        _check(
            _crypto.mbedtls_pkcs5_pbkdf2_hmac_ext(
                _MD_SHA256, password, len(password), salt, len(salt), rounds, _DIGEST_BYTES, out
            ),
            "PBKDF2",
        )
        return bytes(out)

else:
    import base64
    import hashlib
    import ssl
    import subprocess

    def _make(common_name: str) -> tuple:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10957 -keyout - -subj"
        text = subprocess.run(command.split() + ["/CN=" + common_name], check=True, capture_output=True, text=True).stdout
        key, certificate = text.split("-----END PRIVATE KEY-----")
        return ssl.PEM_cert_to_DER_cert(certificate.strip()), base64.b64decode(key.split("-----")[-1])

    def pbkdf2(password: bytes, salt: bytes, rounds: int) -> bytes:
        """PBKDF2-HMAC-SHA256 (RFC 8018), 32 bytes."""
        return hashlib.pbkdf2_hmac("sha256", password, salt, rounds)


def make_identity(common_name: str) -> tuple:
    """(certificate, key), both DER: a new self-signed EC P-256 certificate, valid 30 years. Raises ValueError, Unsupported."""
    if not 1 <= len(common_name) <= _NAME_BYTES or any([c not in _NAME_CHARACTERS for c in common_name]):
        raise ValueError("certificate name %r: expected 1 to %d letters, digits, '-', '.', '_'" % (common_name, _NAME_BYTES))
    return _make(common_name)
