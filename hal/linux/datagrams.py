"""UDP bound to one interface, usable before that has an address. Used by `hal.linux.pc` for the DHCP client."""

import socket

from hal.errors import BusError
from hal.loop import MICROPYTHON, readable
from hal.net import Datagrams

_SO_BROADCAST = 6
_SO_BINDTODEVICE = 25  # asm-generic/socket.h; sends and receives on this interface whatever the routes say


def _address(host: str, port: int):
    # MicroPython's unix port takes only packed addresses.
    return socket.getaddrinfo(host, port)[0][-1] if MICROPYTHON else (host, port)


class LanDatagrams(Datagrams):
    """Raises BusError when the port is taken or there is no such interface."""

    def __init__(self, interface: str, port: int, peer_port: int):
        self._peer_port = peer_port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_BROADCAST, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, interface.encode() + b"\0")
            self._socket.bind(_address("0.0.0.0", port))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise BusError("UDP port %d on %s: %s" % (port, interface, error))

    def send(self, data: bytes, address: str = "255.255.255.255") -> None:
        try:
            self._socket.sendto(data, _address(address, self._peer_port))
        except OSError as error:
            raise BusError("send to %s:%d: %s" % (address, self._peer_port, error))

    async def receive(self, limit: int, timeout_ms: int) -> bytes:
        await readable(self._socket.fileno(), timeout_ms)
        try:
            return self._socket.recv(limit)
        except OSError as error:
            raise BusError("receive on UDP: %s" % error)

    def close(self) -> None:
        self._socket.close()
