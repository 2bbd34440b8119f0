"""TLS of the image's MicroPython against a client of another make: Python's ssl, as the agent uses it."""

import contextlib
import os
import socket
import ssl
import subprocess

import pytest

from tests.lab import micropython


@pytest.fixture(scope="module")
def server():
    """(port, certificate in DER, process id) of a running echo server."""
    process = subprocess.Popen(
        micropython.command() + ["tests/lab/echo_server.py"], cwd=micropython.REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    port, certificate = process.stdout.readline().split()
    yield int(port), bytes.fromhex(certificate), process.pid
    process.kill()
    process.wait()
    process.stdout.close()


@contextlib.contextmanager
def _client(server, version=None, pinned=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pinned or server[1])
    if version:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = version
    with socket.create_connection(("127.0.0.1", server[0]), 10) as raw, context.wrap_socket(raw) as client:
        yield client


def _receive(client, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = client.recv(count - len(got))
        assert piece, "the server closed after %d of %d bytes" % (len(got), count)
        got += piece
    return got


def test_pinned_client_talks(server):
    with _client(server) as client:
        assert client.version() == "TLSv1.3"
        assert client.getpeercert(binary_form=True) == server[1]
        client.sendall(b"%016d" % 0)
        assert _receive(client, 2) == b"OK"
        for length in (1, 16384, 1000000):
            data = os.urandom(length)
            client.sendall(data)
            assert _receive(client, length) == data


def test_suites_are_tls_1_3_only(server):
    with pytest.raises(ssl.SSLError), _client(server, ssl.TLSVersion.TLSv1_2):
        pass
    with _client(server, ssl.TLSVersion.TLSv1_3) as client:
        assert client.cipher()[0] in ("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")


def test_another_certificate_is_not_accepted(server, tmp_path):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=other -keyout /dev/null"
    other = subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
    with pytest.raises(ssl.SSLCertVerificationError), _client(server, pinned=ssl.PEM_cert_to_DER_cert(other)):
        pass


_GARBAGE = (
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x16\x03\x01\xff\xff" + bytes(100),
    b"\x16\x03\x01\x00\x05\x01\x00\x00",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    b"",
)


def _descriptors(pid: int) -> int:
    return len(os.listdir("/proc/%d/fd" % pid))


def test_garbage_costs_nothing(server):
    """The server closes the connection, goes on, and has as many descriptors as before."""
    test_pinned_client_talks(server)
    before = _descriptors(server[2])
    for garbage in _GARBAGE * 5:
        with socket.create_connection(("127.0.0.1", server[0]), 10) as raw:
            with contextlib.suppress(OSError):  # it may hang up before we have said everything
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
    test_pinned_client_talks(server)
    assert _descriptors(server[2]) <= before + 1
