"""Frames over one connection: lengths are checked before anything is received or allocated. Owned by a session."""

from firmware.formats import limits, message
from firmware.formats.frame import FRAME
from firmware.formats.refusal import Refusal
from hal.errors import BusError, Timeout
from hal.loop import now_ms

BODY_MS = 120000  # for the whole body of a frame
WRITE_MS = 120000  # for a whole frame to leave
_DRAIN_BYTES = 1 << 22
_COUNT_BYTES = 4


class Disconnected(Exception):
    """The peer is gone, or too slow: nothing can be told to it any more."""


class Silence(Exception):
    """No frame began within the time given."""


def _bound(kind) -> int:
    """Most bytes that a variable row takes."""
    unit = kind.layout.size if hasattr(kind, "layout") else 1
    return _COUNT_BYTES + kind.limit * unit


def body_bound(type_: int) -> int:
    """Longest body of a message in bytes, from its rows."""
    if type_ in message.BODY_IS_PACK:
        return limits.FRAME_BYTES
    record = message.RECORDS[type_]
    return record.size + sum([_bound(row[1]) for row in record.rows if not isinstance(row[1], str)])


class Channel:
    """One reader and one writer: the session's task. Bodies are received into one buffer, used again for every frame."""

    def __init__(self, connection):
        self.connection = connection
        self.clean = True  # no frame is half written
        self._header = bytearray(FRAME.size)
        self._own = memoryview(bytearray(limits.FRAME_BYTES_UNKNOWN))
        self._lent = None

    def lend(self, buffer) -> None:
        """Receive into `buffer` (memoryview of at least FRAME_BYTES) from now on; None takes it back."""
        self._lent = buffer

    async def header(self, timeout_ms: int):
        """Next frame's FRAME. Raises Silence if none comes, Disconnected, Refusal PROTOCOL."""
        try:
            await self.connection.readinto(self._header, timeout_ms)
        except Timeout:
            raise Silence()
        except (EOFError, BusError) as error:
            raise Disconnected(str(error))
        frame, _ = FRAME.unpack_from(self._header)
        if frame.flags:
            raise Refusal("PROTOCOL", "frame flags: expected 0, got %d" % frame.flags)
        return frame

    async def body(self, length: int, timeout_ms: int = BODY_MS):
        """memoryview of the body, valid until the next call. The caller has checked `length`. Raises Disconnected."""
        room = self._room(length)[:length]
        if length:
            try:
                await self.connection.readinto(room, timeout_ms)
            except (EOFError, Timeout, BusError) as error:
                raise Disconnected(str(error))
        return room

    def _room(self, length: int):
        if self._lent is not None:
            return self._lent
        if length > len(self._own):
            return memoryview(bytearray(length))  # not kept: there may be a thousand channels
        return self._own

    async def send(self, type_: int, request: int, *values) -> None:
        """One frame of the message's rows. Raises Disconnected."""
        body = message.RECORDS[type_].pack(*values)
        await self._write((FRAME.pack(len(body), type_, 0, request) + body,), WRITE_MS)

    async def send_pack(self, type_: int, request: int, body) -> None:
        """One frame whose body is a pack, not copied; the caller may reuse it on return. Raises Disconnected."""
        await self._write((FRAME.pack(len(body), type_, 0, request), body), WRITE_MS)

    async def refuse(self, refusal, request: int, timeout_ms: int = WRITE_MS) -> None:
        """An ERROR frame; the text is cut to what fits. Raises Disconnected."""
        text = refusal.text.encode()[:512]
        while text and text[-1] & 0x80:  # never half a character
            text = text[:-1]
        body = message.RECORDS[message.ERROR].pack(refusal.code, refusal.retry_s, text.decode())
        await self._write((FRAME.pack(len(body), message.ERROR, 0, request) + body,), timeout_ms)

    async def _write(self, parts, timeout_ms: int) -> None:
        self.clean = False
        try:
            for part in parts:
                await self.connection.write(part, timeout_ms)
        except (Timeout, BusError) as error:
            raise Disconnected(str(error))
        self.clean = True

    async def drain(self, timeout_ms: int) -> None:
        """Take in, for so long at most, what the peer still sends.

        Closing with unread bytes would reset the connection, and the ERROR just sent would be lost with it.
        """
        left_bytes = _DRAIN_BYTES
        deadline_ms = now_ms() + timeout_ms
        try:
            while left_bytes > 0 and now_ms() < deadline_ms:
                data = await self.connection.read(4096, max(1, deadline_ms - now_ms()))
                if not data:
                    return
                left_bytes -= len(data)
        except (EOFError, Timeout, BusError):
            return
