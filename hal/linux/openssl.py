"""TLS 1.3, server side, by OpenSSL. Used by hal/linux/net.py.

Why not MicroPython's own `tls` (mbedTLS): it takes several times as long (docs/decisions.md).
Functions and constants: openssl/ssl.h, openssl/err.h of version 3.
"""

from hal.errors import BusError, Unsupported
from hal.native import Library

_ssl = Library(
    ("libssl.so.3",),
    {
        "TLS_server_method": ("p", ""),
        "SSL_CTX_new": ("p", "p"),
        "SSL_CTX_free": ("v", "p"),
        "SSL_CTX_ctrl": ("l", "pilp"),
        "SSL_CTX_set_options": ("Q", "pQ"),
        "SSL_CTX_set_ciphersuites": ("i", "ps"),
        "SSL_CTX_set_num_tickets": ("i", "pL"),
        "SSL_CTX_use_certificate_ASN1": ("i", "pip"),
        "SSL_CTX_use_PrivateKey_ASN1": ("i", "ippl"),
        "SSL_CTX_check_private_key": ("i", "p"),
        "SSL_new": ("p", "p"),
        "SSL_free": ("v", "p"),
        "SSL_set_fd": ("i", "pi"),
        "SSL_set_accept_state": ("v", "p"),
        "SSL_do_handshake": ("i", "p"),
        "SSL_read": ("i", "ppi"),
        "SSL_write": ("i", "ppi"),
        "SSL_shutdown": ("i", "p"),
        "SSL_get_error": ("i", "pi"),
    },
)
_crypto = Library(
    ("libcrypto.so.3",),
    {
        "ERR_get_error": ("L", ""),
        "ERR_reason_error_string": ("s", "L"),
        "ERR_clear_error": ("v", ""),
    },
)

_CTRL_MODE = 33
_CTRL_SESSION_CACHE_MODE = 44
_CTRL_MIN_VERSION = 123
_TLS_1_3 = 0x0304
_MODE_MOVING_BUFFER = 2
_MODE_RELEASE_BUFFERS = 0x10
_OPTIONS = 1 << 7 | 1 << 14 | 1 << 22  # a close without close_notify is an end; no tickets; the server chooses the suite
_KEY_EC = 408  # NID_X9_62_id_ecPublicKey

_ERROR_SSL = 1
WANT_READ = 2
WANT_WRITE = 3
_ERROR_ZERO_RETURN = 6

_AES = "TLS_AES_128_GCM_SHA256"
_CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
_libc = Library(("libc.so.6",), {"setenv": ("i", "ssi")})


def suites() -> str:
    """Both suites, the faster one for this CPU first, which the server then takes. To be called before OpenSSL is loaded.

    AES needs instructions for it. An emulated CPU does them, and wide registers, in software: there OpenSSL is told to use
    neither (OPENSSL_ia32cap(3)), which makes ChaCha20 faster.
    """
    with open("/proc/cpuinfo") as file:
        processor = file.read(4096)
    if "QEMU TCG" in processor:
        _libc.setenv("OPENSSL_ia32cap", "0x0:0x0", 1)
        return _CHACHA + ":" + _AES
    return _AES + ":" + _CHACHA if " aes " in processor else _CHACHA + ":" + _AES


def _context() -> int:
    wanted = suites()
    context = _ssl.SSL_CTX_new(_ssl.TLS_server_method())
    if not context:
        raise Unsupported("OpenSSL gives no context: %s" % _reason())
    _ssl.SSL_CTX_ctrl(context, _CTRL_MIN_VERSION, _TLS_1_3, None)
    _ssl.SSL_CTX_ctrl(context, _CTRL_MODE, _MODE_MOVING_BUFFER | _MODE_RELEASE_BUFFERS, None)
    _ssl.SSL_CTX_ctrl(context, _CTRL_SESSION_CACHE_MODE, 0, None)
    _ssl.SSL_CTX_set_num_tickets(context, 0)
    _ssl.SSL_CTX_set_options(context, _OPTIONS)
    if _ssl.SSL_CTX_set_ciphersuites(context, wanted) != 1:
        raise Unsupported("OpenSSL has none of %s" % wanted)
    return context


def _reason() -> str:
    """Text of the first error of this thread; the rest is dropped."""
    text = _crypto.ERR_reason_error_string(_crypto.ERR_get_error())
    _crypto.ERR_clear_error()
    if not text:
        return "no reason given"
    return text if isinstance(text, str) else text.decode()


class ServerContext:
    """What all connections of a listener share. `certificate` and `key` (EC) in DER. Raises BusError if they do not fit."""

    def __init__(self, certificate: bytes, key: bytes):
        self._context = _context()
        if (
            _ssl.SSL_CTX_use_certificate_ASN1(self._context, len(certificate), certificate) != 1
            or _ssl.SSL_CTX_use_PrivateKey_ASN1(_KEY_EC, self._context, key, len(key)) != 1
            or _ssl.SSL_CTX_check_private_key(self._context) != 1
        ):
            raise BusError("TLS: certificate and key cannot be used: %s" % _reason())

    def stream(self, fd: int) -> "Stream":
        """TLS over a connected non-blocking socket, which stays the caller's."""
        return Stream(self._context, fd)


class Stream:
    """One connection. After a None `wants` says what the socket has to be ready for: WANT_READ or WANT_WRITE."""

    def __init__(self, context: int, fd: int):
        self.wants = WANT_READ
        self._ssl = _ssl.SSL_new(context)
        if not self._ssl:
            raise MemoryError("no memory for a TLS connection")
        _ssl.SSL_set_fd(self._ssl, fd)
        _ssl.SSL_set_accept_state(self._ssl)

    def handshake(self):
        """1 when keys are agreed on, None if it would block. Raises OSError."""
        return self._result(_ssl.SSL_do_handshake(self._ssl))

    def read(self, view):
        """Bytes received, 0 at the end, None if it would block. Raises OSError."""
        return self._result(_ssl.SSL_read(self._ssl, view, len(view)))

    def write(self, view):
        """Bytes sent, all of `view`; None if it would block: call again with the same bytes. Raises OSError."""
        return self._result(_ssl.SSL_write(self._ssl, view, len(view)))

    def _result(self, count: int):
        if count > 0:
            return count
        error = _ssl.SSL_get_error(self._ssl, count)
        if error in (WANT_READ, WANT_WRITE):
            self.wants = error
            return None
        reason = _reason() if error == _ERROR_SSL else "connection lost"
        if error == _ERROR_ZERO_RETURN:
            return 0
        raise OSError("TLS: " + reason)

    def close(self) -> None:
        """Say goodbye if the socket takes it, and free the connection."""
        if self._ssl:
            _ssl.SSL_shutdown(self._ssl)
            _crypto.ERR_clear_error()
            _ssl.SSL_free(self._ssl)
            self._ssl = 0
