"""The appliance's console on this terminal, over a serial port or telnet. `bobbin console`.

Ref: RFC 854, RFC 855, RFC 857 (echo), RFC 858 (suppress go ahead).
"""

import os
import select
import sys
import termios
import tty

import serial

from agent_pc.exits import AgentError

ESCAPE = b"\x1d"  # Ctrl-]
_READ_BYTES = 4096
_QUIET_S = 2  # after the end of a piped input: how long the console may be silent
_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240
_WANTED = (1, 3)  # echo and suppress go ahead, by the other side


class Telnet:
    """Takes the negotiation out of what comes; `answer` collects replies to send."""

    def __init__(self):
        self._rest = b""
        self.answer = b""

    def receive(self, data: bytes) -> bytes:
        """Text in `data`."""
        data, out, at = self._rest + data, bytearray(), 0
        while at < len(data):
            if data[at] != _IAC:
                out.append(data[at])
                at += 1
                continue
            end = self._command(data, at)
            if end is None:
                break
            if data[at + 1] == _IAC:
                out.append(_IAC)
            at = end
        self._rest = data[at:]
        return bytes(out)

    def _command(self, data: bytes, at: int) -> int | None:
        """End of the command at `at`, None if it is not complete."""
        if at + 1 >= len(data):
            return None
        code = data[at + 1]
        if code == _SB:
            end = data.find(bytes((_IAC, _SE)), at)
            return None if end < 0 else end + 2
        if code not in (_DO, _DONT, _WILL, _WONT):
            return at + 2
        if at + 2 >= len(data):
            return None
        option = data[at + 2]
        if code == _WILL:
            self.answer += bytes((_IAC, _DO if option in _WANTED else _DONT, option))
        elif code == _DO:
            self.answer += bytes((_IAC, _WILL if option == 3 else _WONT, option))
        return at + 3

    def send(self, data: bytes) -> bytes:
        return data.replace(b"\xff", b"\xff\xff").replace(b"\r", b"\r\0")


class Plain:
    """A line without protocol."""

    answer = b""

    def receive(self, data: bytes) -> bytes:
        return data

    def send(self, data: bytes) -> bytes:
        return data


def open_port(port: str, telnet: bool, baud: int) -> tuple:
    """(pyserial port, protocol). `port`: a device, socket://HOST:PORT, telnet://HOST:PORT, or HOST:PORT with `telnet`."""
    if port.startswith("telnet://"):
        port, telnet = port[len("telnet://") :], True
    if telnet and "://" not in port:
        port = "socket://" + (port if ":" in port else port + ":23")
    try:
        line = serial.serial_for_url(port, baudrate=baud, timeout=0, do_not_open=True)
        if "://" in port:
            line.reset_input_buffer = lambda: None  # open() would throw the greeting away
        line.open()
        return line, Telnet() if telnet else Plain()
    except (serial.SerialException, ValueError, OSError) as error:
        raise AgentError("UNREACHABLE", f"console {port}: cannot open: {error}") from None


def run(port: str, telnet: bool = False, baud: int = 115200) -> None:
    """Until Ctrl-], the end of a piped input, or the end of the line."""
    line, protocol = open_port(port, telnet, baud)
    terminal = sys.stdin.isatty()
    saved = termios.tcgetattr(0) if terminal else None
    try:
        if terminal:
            sys.stderr.write(f"connected to {port}; Ctrl-] leaves\r\n")
            tty.setraw(0)
        _pump(line, protocol, terminal)
    except (serial.SerialException, OSError) as error:
        raise AgentError("UNREACHABLE", f"console {port}: connection lost: {error}") from None
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        line.close()


def _pump(line, protocol, terminal: bool) -> None:
    """Both directions."""
    watched = [line.fileno(), 0]
    while True:
        ready, _, _ = select.select(watched, [], [], None if 0 in watched else _QUIET_S)
        if not ready:
            return
        if 0 in ready:
            data = os.read(0, _READ_BYTES)
            if terminal and ESCAPE in data:
                return
            if data:
                line.write(protocol.send(data))
            else:
                watched.remove(0)
        if watched[0] in ready:
            try:
                data = line.read(_READ_BYTES)
            except serial.SerialException:
                if "://" in str(line.port):
                    return  # the other side ended it
                raise
            os.write(1, protocol.receive(data))
            if protocol.answer:
                line.write(protocol.answer)
                protocol.answer = b""
