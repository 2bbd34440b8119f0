"""As much of the GDB remote serial protocol as it takes to hang a guest: its processor spins with interrupts off. QEMU tests use it.

Ref: "GDB Remote Serial Protocol" (appendix of the GDB manual): packets $DATA#SUM, registers of amd64 in their order.
"""

import socket
import struct

_RIP_FLAGS = struct.Struct("<QI")
_RIP_OFFSET = 16 * 8  # behind the general registers
_INTERRUPTS = 1 << 9  # EFLAGS.IF
_SPIN = "ebfe"  # jmp to itself


class Gdb:
    """Connected to a stub: the guest stands still until `close`."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._stream = self._socket.makefile("rb")
        self.ask("?")

    def ask(self, text: str) -> str:
        """The answer to a packet. Raises AssertionError for an error."""
        self._send(text)
        answer = self._packet()
        while answer.startswith(("T", "S")) and text != "?":  # that it has stopped is said unasked, too
            answer = self._packet()
        assert not answer.startswith("E"), (text, answer)
        return answer

    def _packet(self) -> str:
        while self._stream.read(1) != b"$":
            pass
        answer = b""
        while (byte := self._stream.read(1)) != b"#":
            answer += byte
        self._stream.read(2)
        self._socket.sendall(b"+")
        return answer.decode()

    def _send(self, text: str) -> None:
        data = text.encode()
        self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))

    def hang(self) -> None:
        """The processor never leaves the instruction where it is now."""
        registers = bytearray.fromhex(self.ask("g"))
        at, flags = _RIP_FLAGS.unpack_from(registers, _RIP_OFFSET)
        _RIP_FLAGS.pack_into(registers, _RIP_OFFSET, at, flags & ~_INTERRUPTS)
        assert self.ask("M%x,2:%s" % (at, _SPIN)) == "OK"
        assert self.ask("G" + registers.hex()) == "OK"

    def close(self) -> None:
        """The guest goes on."""
        self._send("D")
        self._stream.read(1)
        self._stream.close()
        self._socket.close()
