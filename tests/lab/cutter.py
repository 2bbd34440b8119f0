"""A proxy between agent and appliance that cuts a connection after so many bytes. For tests of cut connections.

It sees TLS from outside: what it counts are bytes of the stream, handshake included. Both sides get a reset, as from a router that lost
its power and what it had stored; or, if `gently`, the side in whose direction was cut gets all that was counted and then an end.
"""

import socket
import struct
import threading

_PIECE_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Cutter:
    """Listens on `port` of 127.0.0.1 and forwards to `target`. `cut(direction, after)` arms it for the next connection.

    `passed` [(bytes to the appliance, bytes to the agent)] of each connection so far, in order.
    """

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passed: list = []
        self._armed = None
        self._gently = False
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self, direction: int, after: int, gently: bool = False) -> None:
        """The next connection dies when `after` bytes have gone in `direction`: 0 to the appliance, 1 to the agent."""
        self._armed = (direction, after)
        self._gently = gently

    def close(self) -> None:
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            limits = [None, None]
            if self._armed:
                limits[self._armed[0]] = self._armed[1]
                self._armed = None
            counts = [0, 0]
            self.passed.append(counts)
            for direction, ends in enumerate(((near, far), (far, near))):
                threading.Thread(
                    target=_pump, args=(*ends, direction, limits[direction], counts, self._gently), daemon=True
                ).start()


def _pump(source, sink, direction: int, limit, counts: list, gently: bool) -> None:
    try:
        while limit is None or counts[direction] < limit:
            room = _PIECE_BYTES if limit is None else min(_PIECE_BYTES, limit - counts[direction])
            data = source.recv(room)
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
            counts[direction] += len(data)
        if gently:
            _reset(source)
            sink.shutdown(socket.SHUT_WR)
        else:
            _reset(source, sink)
    except OSError:
        _reset(source, sink)


def _reset(*ends) -> None:
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
