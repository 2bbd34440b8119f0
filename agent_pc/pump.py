"""A process of its own that decodes TLS for one connection, so that what comes is read in large pieces. Made by agent_pc/session.py.

OpenSSL gives 16 KiB at a time, and Python gives its interpreter lock away and gets it back for each: in a process whose other threads
write files that costs more than decoding. The pump has no other thread; what it decoded goes over a pair of local sockets.
"""

import contextlib
import gc
import os
import select
import socket
import ssl
import struct
import threading

_PIECE_BYTES = 1 << 18
_SEND_BYTES = 1 << 20  # asked of the kernel for the local socket; it may give less
_WAIT = struct.pack("@ll", 1, 0)  # struct timeval: as often a blocked reader looks whether its channel was closed


class Pumped:
    """The end of a pumped connection that the agent holds, with the calls of an ssl.SSLSocket that agent_pc/channel.py makes.

    Unlike that it may be read and written by two threads at a time.
    """

    def __init__(self, local: socket.socket, child: int):
        self._local = local
        self._child = child
        local.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _WAIT)
        self.fileno = local.fileno
        self.shutdown = local.shutdown

    def setblocking(self, _: bool) -> None:
        """Reads wait for a second at most, sends never."""

    def recv_into(self, view) -> int:
        """All of `view` at once if it comes in time. Raises ssl.SSLWantReadError."""
        try:
            return self._local.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None

    def send(self, view) -> int:
        """Raises ssl.SSLWantWriteError."""
        try:
            return self._local.send(view, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise ssl.SSLWantWriteError from None

    def unwrap(self) -> None:
        """The pump says goodbye when this end is shut."""

    def close(self) -> None:
        """More than once does no harm."""
        self._local.close()
        child, self._child = self._child, 0
        if child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def start(connection: ssl.SSLSocket):
    """What to use instead of `connection` from now on: a Pumped; or itself where a process cannot be made safely."""
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return connection
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    child = os.fork()
    if not child:
        try:
            ours.close()
            _Pump(connection, theirs).run()
        finally:
            os._exit(0)  # nothing of the parent's is flushed or ended here
    theirs.close()
    connection.close()  # this process' descriptor only
    return Pumped(ours, child)


class _Pump:
    """Runs until either end is closed."""

    def __init__(self, connection: ssl.SSLSocket, local: socket.socket):
        gc.disable()  # it would write to every page shared with the parent
        self._tls = connection
        self._local = local
        connection.setblocking(False)
        local.setblocking(False)
        self._room = memoryview(bytearray(_PIECE_BYTES))
        self._down = self._room[:0]  # decoded, for the agent
        self._up = memoryview(b"")  # from the agent
        self._events = {connection.fileno(): 0, local.fileno(): 0}

    def run(self) -> None:
        try:
            while True:
                self._events = dict.fromkeys(self._events, 0)
                while self._receive() or self._give():
                    pass
                self._send()
                self._wait()
        except (OSError, EOFError):
            pass
        self._leave()

    def _wait(self) -> None:
        """Until an end is ready for what is to be done with it. Raises EOFError if the agent is gone."""
        poll = select.poll()
        local = self._local.fileno()
        poll.register(local, 0)
        for end, events in self._events.items():
            if events:  # else a connection that has ended would wake it all the time
                poll.register(end, events)
        if dict(poll.poll()).get(local, 0) & (select.POLLHUP | select.POLLERR) and self._up:
            raise EOFError

    def _receive(self) -> bool:
        """Decode until there is no more or no room. Gives whether something came."""
        if self._down:
            return False
        filled = 0
        try:
            while filled < _PIECE_BYTES:
                count = self._tls.recv_into(self._room[filled:])
                if not count:
                    break
                filled += count
        except ssl.SSLWantReadError:
            self._events[self._tls.fileno()] |= select.POLLIN
        self._down = self._room[:filled]
        if not filled and not self._events[self._tls.fileno()]:
            raise EOFError
        return filled > 0

    def _give(self) -> bool:
        """Gives whether there is room for more."""
        try:
            while self._down:
                self._down = self._down[self._local.send(self._down) :]
                if not self._down:
                    return True
        except BlockingIOError:
            self._events[self._local.fileno()] |= select.POLLOUT
        return False

    def _send(self) -> None:
        try:
            while True:
                if not self._up:
                    came = self._local.recv(_PIECE_BYTES)
                    if not came:
                        raise EOFError
                    self._up = memoryview(came)
                self._up = self._up[self._tls.send(self._up) :]
        except BlockingIOError:
            self._events[self._local.fileno()] |= select.POLLIN
        except ssl.SSLWantWriteError:
            self._events[self._tls.fileno()] |= select.POLLOUT
        except ssl.SSLWantReadError:
            self._events[self._tls.fileno()] |= select.POLLIN

    def _leave(self) -> None:
        """What was decoded still goes to the agent; the appliance hears goodbye."""
        with contextlib.suppress(OSError):
            self._local.setblocking(True)
            self._local.sendall(self._down)
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
