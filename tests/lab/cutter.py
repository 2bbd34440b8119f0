"""A proxy between agent and appliance that cuts a connection after so many bytes or TLS records. For tests of cut connections.

It sees TLS from outside: what it counts are bytes and records of the stream, handshake included; a frame of the protocol begins with a
record of its own. Both sides get a reset, as from a router that lost its power and what it had stored; or, if `gently`, the side in
whose direction was cut gets all that was counted and then an end.
"""

import socket
import struct
import threading

_PIECE_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)
_RECORD = struct.Struct(">BHH")  # RFC 8446, 5.1: type, version, length


class _Cut:
    """Where: `direction` 0 to the appliance, 1 to the agent; `after` so many bytes, or TLS records."""

    def __init__(self, direction: int, after: int, gently: bool, records: bool):
        self.direction = direction
        self.after = after
        self.gently = gently
        self.records = records


class Cutter:
    """Listens on `port` of 127.0.0.1 and forwards to `target`. `cut` and `cut_record` arm it for the next connection.

    `passed` [[bytes to the appliance, bytes to the agent]] and `records`, alike, of each connection so far, in order. Records are
    counted whole; of a connection that is cut after bytes, not at all.
    """

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passed: list = []
        self.records: list = []
        self._armed: _Cut | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self, direction: int, after: int, gently: bool = False) -> None:
        """The next connection dies when `after` bytes have gone in `direction`."""
        self._armed = _Cut(direction, after, gently, False)

    def cut_record(self, direction: int, after: int, gently: bool = False) -> None:
        """The next connection dies when `after` TLS records have gone in `direction`."""
        self._armed = _Cut(direction, after, gently, True)

    def close(self) -> None:
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            cut, self._armed = self._armed, None
            self.passed.append([0, 0])
            self.records.append([0, 0])
            for direction, (source, sink) in enumerate(((near, far), (far, near))):
                here = cut if cut is not None and cut.direction == direction else None
                counts = (self.passed[-1], self.records[-1], direction)
                threading.Thread(target=_pump, args=(source, sink, here, counts), daemon=True).start()


def _bytes(source, left):
    """Yield (data, 0) up to `left` bytes; raises EOFError."""
    while left is None or left > 0:
        data = source.recv(_PIECE_BYTES if left is None else min(_PIECE_BYTES, left))
        if not data:
            raise EOFError
        left = None if left is None else left - len(data)
        yield data, 0


def _whole_records(source, left):
    """Yield (record, 1), `left` of them; raises EOFError."""
    while left is None or left > 0:
        head = _exactly(source, _RECORD.size)
        yield head + _exactly(source, _RECORD.unpack(head)[2]), 1
        left = None if left is None else left - 1


def _exactly(source, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _pump(source, sink, cut: _Cut | None, counts: tuple) -> None:
    passed, records, direction = counts
    pieces = _bytes if cut is not None and not cut.records else _whole_records
    try:
        for data, whole in pieces(source, cut.after if cut is not None else None):
            sink.sendall(data)
            passed[direction] += len(data)
            records[direction] += whole
        if cut is not None and cut.gently:
            sink.shutdown(socket.SHUT_WR)
            _reset(source)
        else:
            _reset(source, sink)
    except EOFError:
        _end(sink)
    except OSError:
        _reset(source, sink)


def _end(sink) -> None:
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _reset(*ends) -> None:
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
