"""agent_pc.console: telnet negotiation, and a session through pyserial's socket port."""

import socket
import subprocess
import sys
import threading

import pytest

from agent_pc import console
from agent_pc.exits import AgentError


def test_negotiation_is_taken_out_and_answered():
    protocol = console.Telnet()
    assert protocol.receive(b"a\xff\xfb\x01b\xff\xfd\x18c") == b"abc"
    assert protocol.answer == b"\xff\xfd\x01\xff\xfc\x18"
    assert protocol.send(b"\xff\r") == b"\xff\xff\r\0"


def test_commands_cut_anywhere():
    stream = b"x\xff\xfb\x03\xff\xfa\x18\x01\xff\xf0y\xff\xffz\xff\xf1"
    for cut in range(len(stream)):
        protocol = console.Telnet()
        assert protocol.receive(stream[:cut]) + protocol.receive(stream[cut:]) == b"xy\xffz", cut


@pytest.mark.parametrize("port", ["telnet://127.0.0.1:{}", "socket://127.0.0.1:{}"])
def test_piped_session(port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def serve():
            connection, _ = server.accept()
            connection.sendall(b"login: ")
            while b"quit" not in b"".join(heard):
                heard.append(connection.recv(100))
            connection.sendall(b"bye\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        command = [sys.executable, "-m", "agent_pc.cli", "console", "--port", port.format(server.getsockname()[1])]
        done = subprocess.run(command, input=b"quit\n", capture_output=True, timeout=30, check=False)
        thread.join()
    assert done.returncode == 0 and done.stdout == b"login: bye\n", done


def test_no_such_port():
    with pytest.raises(AgentError) as error:
        console.open_port("/dev/nosuch", False, 9600)
    assert error.value.status == 16
