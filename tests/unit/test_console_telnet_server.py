"""firmware.console.telnet over real sockets: switched on and off while running, sessions bounded, negotiation before the login."""

import asyncio

from firmware.appliance import Appliance
from firmware.console import login
from hal.loop import now_ms, sleep_ms, wait_ms
from tests.lab.sim_machine import SimMachine

_PASSWORD = "long enough"
_WAIT_MS = 10000


class Caller:
    """A telnet client that refuses every option."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self.seen = b""

    async def expect(self, text: bytes) -> bytes:
        while text not in self.seen:
            data = await wait_ms(self._reader.read(1000), _WAIT_MS)
            assert data, "closed, %s did not come but %s" % (text, self.seen)
            self.seen += data
        end = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found

    async def closed(self) -> bytes:
        """What still came before the other end closed."""
        while True:
            try:
                data = await wait_ms(self._reader.read(1000), _WAIT_MS)
            except OSError:
                data = b""
            if not data:
                return self.seen
            self.seen += data

    async def type(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def _call(port: int) -> Caller:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return Caller(reader, writer)


async def _appliance():
    """With a changed password; telnet is off."""
    machine = SimMachine()
    appliance = Appliance(machine)
    await appliance.start()
    await appliance.config.set("console.password", login.make_hash(machine, _PASSWORD))
    return appliance


async def _switch(appliance, on: bool) -> int:
    """The port."""
    await appliance.config.set("telnet.enabled", "on" if on else "off")
    deadline = now_ms() + _WAIT_MS
    while bool(appliance.consoles.telnet.port) != on:
        assert now_ms() < deadline
        await sleep_ms(5)
    return appliance.consoles.telnet.port


async def test_login_and_command_and_logout():
    appliance = await _appliance()
    caller = await _call(await _switch(appliance, True))
    assert b"\xff\xfb\x01" in await caller.expect(b"login: ")
    await caller.type(b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x1f\xff\xfa\x1f\x00\x64\x00\x28\xff\xf0admin\r\0")
    await caller.expect(b"Password: ")
    await caller.type(_PASSWORD.encode() + b"\r\n")
    assert _PASSWORD.encode() not in await caller.expect(b"bobbin> ")
    await caller.type(b"show status --json\r\0")
    await caller.expect(b'"ok": true')
    await caller.expect(b"bobbin> ")
    await caller.type(b"exit\r\0")
    await caller.closed()
    await caller.close()
    await appliance.shutdown(False)


async def test_off_until_switched_on_and_off_again_ends_sessions():
    appliance = await _appliance()
    assert appliance.consoles.telnet.port == 0
    port = await _switch(appliance, True)
    caller = await _call(port)
    await caller.expect(b"login: ")
    await _switch(appliance, False)
    await caller.closed()
    await caller.close()
    # MicroPython tells of a refused connection at the first read only.
    refused = b""
    try:
        refused = await (await _call(port)).closed()
    except OSError:
        pass
    assert refused == b""
    again = await _call(await _switch(appliance, True))
    await again.expect(b"login: ")
    await again.close()
    await appliance.shutdown(False)


async def test_the_fifth_session_is_told_to_wait_and_a_freed_place_is_used():
    appliance = await _appliance()
    port = await _switch(appliance, True)
    callers = []
    for _ in range(4):
        callers.append(await _call(port))
        await callers[-1].expect(b"login: ")
    fifth = await _call(port)
    assert b"all 4 telnet sessions are in use" in await fifth.closed()
    await fifth.close()
    await callers[0].close()
    await sleep_ms(50)
    next_one = await _call(port)
    await next_one.expect(b"login: ")
    for caller in callers[1:] + [next_one]:
        await caller.close()
    await appliance.shutdown(False)


async def test_wrong_passwords_are_slowed_for_the_peer_not_for_the_serial_line():
    appliance = await _appliance()
    caller = await _call(await _switch(appliance, True))
    await caller.type(b"admin\r\nwrong\r\n")
    await caller.expect(b"login incorrect")
    brake = appliance.consoles._brake
    assert brake.delay_ms("telnet 127.0.0.1") > 0 and brake.delay_ms("sim0") == 0
    await caller.close()
    await appliance.shutdown(False)


async def test_a_taken_port_is_logged_and_another_one_works():
    appliance, other = await _appliance(), await _appliance()
    port = await _switch(appliance, True)
    await other.config.set("telnet.port", str(port))
    await other.config.set("telnet.enabled", "on")
    await sleep_ms(50)
    assert "is the port taken?" in "".join(other.log.lines(50)) and other.consoles.telnet.port == 0
    await other.config.set("telnet.port", "0")
    await _switch(other, True)
    await appliance.shutdown(False)
    await other.shutdown(False)
