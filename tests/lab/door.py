"""The appliance as its agents' door sees it, with simulated storage, and an agent's end to talk to it. For unit tests."""

import asyncio

from firmware.core.config import Config
from firmware.core.log import Log
from firmware.formats import message
from firmware.formats.frame import FRAME, PROTOCOL
from firmware.net.channel import Channel
from firmware.net.pairing import Pairing
from firmware.net.server import Server
from firmware.net.session import Session
from firmware.store.store import Store
from hal.clock import Clock
from hal.linux.net import TlsListener
from hal.linux.rwp import NativeProcessor
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from tests.lab.pipe import pipe

_STORE_UUID = bytes(range(16))
_SEGMENT_BYTES = 4 << 20
_DISK_BYTES = 256 << 20


class StillClock(Clock):
    def now_ns(self) -> int:
        return 1700000000000000000


class _Machine:
    def __init__(self):
        self.processor = NativeProcessor()
        self.clock = StillClock()

    async def listen_tls(self, host: str, port: int, certificate: bytes, key: bytes):
        return TlsListener(host, port, certificate, key)


class _Identity:
    certificate = b"not really a certificate"
    key = b""


class Door:
    """What Server needs of the appliance. `store` may be None."""

    def __init__(self, store=None):
        self.machine = _Machine()
        self.config = Config(None)
        self.log = Log(self.machine.clock)
        self.identity = _Identity()
        self.store = store
        self.mounted = None
        self.pairing = Pairing(self)
        self.server = Server(self)

    async def listen(self, certificate: bytes, key: bytes) -> int:
        """Serve on a free port of this host, by TLS; gives the port."""
        self.identity.certificate, self.identity.key = certificate, key
        await self.config.set("lan.port", "0")
        await self.server.start("127.0.0.1")
        return self.server.address[1]

    def connect(self, peer: str = "192.0.2.1:4000"):
        """An `Agent` whose session runs in a task of its own."""
        near, far = pipe(peer)
        session = Session(self.server, Channel(near))
        self.server.sessions.append(session)
        session.task = asyncio.create_task(self.server._serve(session))
        return Agent(far, session)


async def stored_door() -> Door:
    """A Door with an empty store on a simulated disk."""
    door = Door()
    await format_store(door, SimDisk(_DISK_BYTES), SimKv(SimKvStorage(), Store.TABLES, Store.DUPLICATES), _SEGMENT_BYTES)
    return door


async def format_store(door: Door, disk, kv, segment_bytes: int = 0) -> None:
    """Give `door` a new store there."""
    await Store.format(disk, kv, door.machine.processor, _STORE_UUID, door.machine.clock.now_ns(), segment_bytes)
    door.store = await Store.open(disk, kv, door.machine.processor, door.machine.clock)


class Agent:
    """The agent's end: sends and receives whole frames."""

    def __init__(self, connection, session):
        self.connection = connection
        self.session = session
        self.request = 0

    async def send(self, name: str, *values) -> None:
        await self.send_body(name, message.RECORDS[message.TYPES[name]].pack(*values))

    async def send_body(self, name: str, body) -> None:
        self.request += 1
        await self.connection.write(FRAME.pack(len(body), message.TYPES[name], 0, self.request) + body, 1000)

    async def receive(self):
        """(name, values or body, request). Raises EOFError when the appliance closed."""
        head = bytearray(FRAME.size)
        await self.connection.readinto(head, 5000)
        frame = FRAME.unpack(head)
        body = bytearray(frame.length)
        if body:
            await self.connection.readinto(body, 5000)
        if frame.type in message.BODY_IS_PACK:
            return message.NAMES[frame.type], body, frame.request
        return message.NAMES[frame.type], message.RECORDS[frame.type].unpack(body), frame.request

    async def ask(self, name: str, *values):
        """(name, values) of the answer, whose request number must be the question's."""
        await self.send(name, *values)
        answer, found, request = await self.receive()
        assert request == self.request, (name, request, self.request)
        return answer, found

    async def hello(self):
        return await self.ask("HELLO", PROTOCOL, "test")

    async def enter(self, identity):
        """HELLO and AUTH with (uuid, token)."""
        await self.hello()
        return await self.ask("AUTH", *identity)

    async def closed(self) -> bool:
        """Whether the appliance closes now, with nothing more to say."""
        try:
            await self.receive()
            return False
        except EOFError:
            return True
