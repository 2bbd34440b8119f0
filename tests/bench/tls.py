"""TLS receive rate of the image's MicroPython: `python3 -m tests.bench.tls [MiB]` from the repository's root."""

import socket
import ssl
import subprocess
import sys

from tests.lab import micropython

_PIECE = bytes(1 << 20)


def main(mebibytes: int) -> None:
    server = subprocess.Popen(
        micropython.command() + ["tests/lab/echo_server.py"], cwd=micropython.REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    port = int(server.stdout.readline().split()[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as client:
        client.sendall(b"%016d" % (mebibytes << 20))
        for _ in range(mebibytes):
            client.sendall(_PIECE)
        client.recv(2)
        print(client.cipher()[0], server.stdout.readline().strip())
    server.kill()
    server.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
