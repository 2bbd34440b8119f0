"""Frames to and from the appliance over one TLS connection, in both directions at once. Owned by agent_pc/session.py.

A thread of its own receives and hands every reply to who asked for it. Any thread may send: a frame is never torn.
"""

import collections
import contextlib
import select
import ssl
import threading

from agent_pc.exits import AgentError, Cut
from agent_pc.pump import Pumped
from firmware.formats import limits, message
from firmware.formats.frame import FRAME
from firmware.formats.record import FormatError
from firmware.formats.refusal import NAMES, Refusal

STALL_S = 900  # the other end takes or sends nothing for so long: it hangs. A tape may take minutes to get to a place
REPLY_FRAMES = 24  # frames of one reply that may wait for their reader
_SLICE_BYTES = 1 << 17
_LAST = (message.END, message.ERROR)  # frames that end a stream


class Reply:
    """Frames that answer one request, in order."""

    def __init__(self, channel: "Channel", request: int):
        self._channel = channel
        self._frames: collections.deque = collections.deque()
        self._changed = threading.Condition()
        self._unwanted = False
        self.request = request

    def put(self, type_: int, body: bytearray) -> None:
        """By the receiving thread; waits while the reader is far behind, and then until it has caught up a good way."""
        with self._changed:
            if len(self._frames) >= REPLY_FRAMES:
                while len(self._frames) > REPLY_FRAMES // 2 and not self._channel.closed and not self._unwanted:
                    self._changed.wait(1)
            if self._unwanted:
                if type_ in _LAST:
                    self.done()
                return
            self._frames.append((type_, body))
            if len(self._frames) == 1:
                self._changed.notify_all()

    def wake(self) -> None:
        """After the channel failed."""
        with self._changed:
            self._changed.notify_all()

    def get(self, *expected: int):
        """(type, message) of the next frame, the body itself for a pack. Raises Refusal for an ERROR, Cut, AgentError(PROTOCOL)."""
        [frame] = self._take(1)
        return self._opened(frame, expected)

    def get_some(self, most: int, *expected: int) -> list:
        """The same of all frames that are there, at least one and at most `most`: to be woken for each costs more than a frame."""
        return [self._opened(frame, expected) for frame in self._take(most)]

    def _take(self, most: int) -> list:
        with self._changed:
            while not self._frames:
                self._channel.check()
                self._changed.wait(1)
            count = len(self._frames)
            taken = [self._frames.popleft() for _ in range(min(most, count))]
            if len(self._frames) <= REPLY_FRAMES // 2 < count:
                self._changed.notify_all()
            return taken

    def _opened(self, frame: tuple, expected: tuple) -> tuple:
        type_, body = frame
        if type_ in expected and type_ in message.BODY_IS_PACK:
            return type_, body
        value = _unpack(type_, body)
        if type_ == message.ERROR:
            self.done()
            raise refusal(value)
        if type_ not in expected:
            names = ", ".join(message.NAMES[known] for known in expected)
            raise AgentError("PROTOCOL", f"appliance: expected {names}, got {message.NAMES[type_]}")
        return type_, value

    def one(self, expected: int):
        """The one message that answers."""
        _, value = self.get(expected)
        self.done()
        return value

    def done(self) -> None:
        """No more frames are expected: the request number is free again."""
        self._channel.forget(self.request)

    def abandon(self) -> None:
        """Nobody wants the rest of a stream: what still comes up to its END is dropped."""
        with self._changed:
            self._unwanted = True
            ended = any(type_ in _LAST for type_, _ in self._frames)
            self._frames.clear()
            self._changed.notify_all()
        if ended:
            self.done()


def _unpack(type_: int, body: bytearray):
    try:
        return message.RECORDS[type_].unpack(body)
    except FormatError as error:
        raise AgentError("PROTOCOL", f"appliance: {error}") from None


def refusal(value) -> Exception:
    """What an ERROR frame says, as exception."""
    name = NAMES.get(value.code)
    if name is None:
        return AgentError("PROTOCOL", f"appliance: refused with unknown code {value.code}: {value.text}")
    return Refusal(name, value.text, value.retry_s)


class Channel:
    """`bytes_sent` and `bytes_received` count plaintext frame bytes. `connection` is a connected ssl.SSLSocket, owned from now on."""

    def __init__(self, connection: ssl.SSLSocket | Pumped, where: str):
        self.where = where
        self.bytes_sent = 0
        self.bytes_received = 0
        self.closed = False
        self._error: Exception | None = None
        self._socket = connection
        self._socket.setblocking(False)
        # An OpenSSL connection takes one call at a time.
        self._tls = contextlib.nullcontext() if isinstance(connection, Pumped) else threading.Lock()
        self._writing = threading.Lock()
        self._replies: dict[int, Reply] = {}
        self._next = 0
        self._table = threading.Lock()
        self._receiver = threading.Thread(target=self._receive, name="receive", daemon=True)
        self._receiver.start()

    # -- sending

    def send(self, type_: int, request: int, *parts) -> None:
        """One frame whose body is `parts` one after the other. Raises Cut, or what the appliance refused with."""
        length = sum(len(part) for part in parts)
        frame = b"".join((FRAME.pack(length, type_, 0, request), *parts))
        try:
            with self._writing:
                self._write(frame)
                self.bytes_sent += len(frame)
        except OSError as error:
            self._receiver.join(3)  # an ERROR may have come before the connection went
            self.check()
            raise self._fail(Cut(f"appliance {self.where}: connection lost: {error}")) from None

    def ask(self, type_: int, *values) -> Reply:
        """Send a request; its answer arrives at the Reply."""
        with self._table:
            while True:
                self._next = self._next % 0xFFFF + 1
                if self._next not in self._replies:
                    break
            reply = self._replies[self._next] = Reply(self, self._next)
        try:
            self.send(type_, reply.request, message.RECORDS[type_].pack(*values))
        except BaseException:
            reply.done()
            raise
        return reply

    def call(self, type_: int, values: tuple, expected: int):
        """The one message that answers a request."""
        return self.ask(type_, *values).one(expected)

    def forget(self, request: int) -> None:
        with self._table:
            self._replies.pop(request, None)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self.check()
            try:
                with self._tls:
                    count = self._socket.send(view[:_SLICE_BYTES])
                view = view[count:]
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket.fileno(), event)
        for _ in range(STALL_S):
            if poll.poll(1000):
                return
            self.check()
        raise TimeoutError(f"nothing moved for {STALL_S} s")

    # -- receiving

    def _receive(self) -> None:
        try:
            while True:
                self._frame()
        except (OSError, EOFError) as error:
            reason = "closed by the appliance" if isinstance(error, EOFError) else str(error)
            self._fail(Cut(f"appliance {self.where}: connection lost: {reason}"))
        except Exception as error:  # noqa: BLE001  those who wait must hear of it
            self._fail(error)

    def _frame(self) -> None:
        head, _ = FRAME.unpack_from(self._read(FRAME.size))
        if message.SENDER.get(head.type) != "appliance" or head.flags or head.length > limits.FRAME_BYTES:
            raise AgentError(
                "PROTOCOL", f"appliance {self.where}: expected a frame, got type {head.type} of {head.length} bytes"
            )
        body = self._read(head.length)
        self.bytes_received += FRAME.size + head.length
        with self._table:
            reply = self._replies.get(head.request)
        if reply is not None:
            reply.put(head.type, body)
        elif head.type == message.ERROR:
            raise refusal(_unpack(head.type, body))
        else:
            raise AgentError("PROTOCOL", f"appliance {self.where}: {message.NAMES[head.type]} answers no request")

    def _read(self, length: int) -> bytearray:
        body = bytearray(length)
        view = memoryview(body)
        while view:
            try:
                with self._tls:
                    count = self._socket.recv_into(view)
            except ssl.SSLWantReadError:
                self._readable()
                continue
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
                continue
            if not count:
                raise EOFError
            view = view[count:]
        return body

    def _readable(self) -> None:
        """Wait for bytes as long as it takes while nothing is asked; STALL_S while something is."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        waited = 0
        while not poll.poll(1000):
            if self.closed:
                raise EOFError
            waited = waited + 1 if self._replies else 0
            if waited > STALL_S:
                raise TimeoutError(f"no answer for {STALL_S} s")

    # -- ending

    def check(self) -> None:
        """Raise what ended the channel, if it has ended."""
        if self._error is not None:
            raise self._error
        if self.closed:
            raise Cut(f"appliance {self.where}: connection is closed")

    def _fail(self, error: Exception) -> Exception:
        """Remember the first reason, wake everyone."""
        self._error = self._error or error
        self.closed = True
        with self._table:
            waiting = list(self._replies.values())
        for reply in waiting:
            reply.wake()
        return self._error

    def close(self) -> None:
        """End the connection; requests that wait raise Cut."""
        self.closed = True
        self._fail(Cut(f"appliance {self.where}: connection is closed"))
        try:
            with self._tls:
                self._socket.unwrap()
        except (OSError, ValueError):
            pass  # close_notify is a courtesy
        try:
            self._socket.shutdown(2)
        except OSError:
            pass
        self._receiver.join(2)
        self._socket.close()
