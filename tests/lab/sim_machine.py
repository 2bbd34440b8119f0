"""A whole machine of simulated parts, for tests of the appliance and its console inside one process, on both interpreters."""

import asyncio
import hashlib

from hal.clock import Clock
from hal.errors import BusError, NotReady
from hal.linux.rwp import NativeProcessor
from hal.loop import now_ms, sleep_ms
from hal.machine import BLANK, NONE, OURS, Machine, Volume
from hal.serial import Serial
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from hal.sim.tape import SimTapeDrive

_CONFIG_BYTES = 1 << 20
_DISK_BYTES = 256 << 20


class SimClock(Clock):
    """Stands still unless it is set."""

    def __init__(self):
        self._now_ns = 1700000000000000000

    def now_ns(self) -> int:
        return self._now_ns

    def set_ns(self, when_ns: int) -> None:
        self._now_ns = when_ns


class SimSerial(Serial):
    """A line whose other end is the test: `type` and `expect`."""

    def __init__(self, name: str = "sim0"):
        self.name = name
        self.seen = ""
        self._mark = 0
        self._typed = []
        self._event = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        while not self._typed:
            self._event.clear()
            await self._event.wait()
        data = self._typed.pop(0)
        if len(data) > limit:
            self._typed.insert(0, data[limit:])
        return data[:limit]

    async def write(self, data: bytes) -> None:
        self.seen += data.decode()

    def type(self, text: str) -> None:
        self._typed.append(text.encode())
        self._event.set()

    def hang_up(self) -> None:
        self._typed.append(b"")
        self._event.set()

    async def expect(self, text: str, timeout_ms: int = 10000) -> str:
        """What came since the last call, up to and with `text`. Raises AssertionError if it does not come."""
        deadline = now_ms() + timeout_ms
        while text not in self.seen[self._mark :]:
            assert now_ms() < deadline, "%r did not come, but %r" % (text, self.seen[self._mark :])
            await sleep_ms(5)
        end = self.seen.index(text, self._mark) + len(text)
        found, self._mark = self.seen[self._mark : end], end
        return found


def _pbkdf2(password: bytes, salt: bytes, rounds: int) -> bytes:
    """RFC 8018 5.2 with HMAC-SHA-256, one block, slowly; few rounds are enough here."""
    key = password + bytes(64 - len(password))
    inner, outer = bytes([byte ^ 0x36 for byte in key]), bytes([byte ^ 0x5C for byte in key])

    def hmac(text: bytes) -> bytes:
        return hashlib.sha256(outer + hashlib.sha256(inner + text).digest()).digest()

    block = hmac(salt + b"\0\0\0\1")
    total = int.from_bytes(block, "big")
    for _ in range(rounds - 1):
        block = hmac(block)
        total ^= int.from_bytes(block, "big")
    return total.to_bytes(32, "big")


class _Drive(SimTapeDrive):
    """`pause_ms` before each command makes jobs last."""

    pause_ms = 0

    async def execute(self, command: bytes, data_out=None, data_in=None, timeout_ms: int = 30000):
        if self.pause_ms:
            await sleep_ms(self.pause_ms)
        return await super().execute(command, data_out, data_in, timeout_ms)


class SimMachine(Machine):
    """`config_disk`, `data_disk` and `storage` outlive it: give them to the next one for a restart. `off` tells how it went down.

    `cartridge` is in its tape drive; None: there is no drive. `drive` is the drive that was opened last.
    """

    name = "sim"
    keeps_stdout = False
    settings = {"lan.port": "0", "telnet.port": "0"}
    lan_host = "127.0.0.1"

    def __init__(self, config_disk=None, data_disk=None, storage=None):
        self.config_disk = config_disk or SimDisk(_CONFIG_BYTES, name="config")
        self.data_disk = data_disk
        self.storage = storage
        self.scratch = "/tmp"
        self.volume = OURS if storage else BLANK if data_disk else NONE
        self.processor = NativeProcessor()
        self.clock = SimClock()
        self.watchdog = None
        self.i2c = None
        self.serials = []
        self.network = {"interface": "", "address": "127.0.0.1", "mask": "", "gateway": "", "mac": ""}
        self.off = ""
        self.cartridge = None
        self.drive = None
        self.others = {}  # directory -> storage of a database that is not the catalog

    async def start(self) -> None:
        self.serials = [SimSerial()]

    async def open_config(self):
        return self.config_disk

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        self.network.update({"address": address, "mask": mask, "gateway": gateway})

    async def disk_identity(self) -> dict:
        if not self.data_disk:
            raise NotReady("no data disk")
        return await self.data_disk.identify()

    async def probe_volume(self) -> str:
        return self.volume

    async def format_volume(self) -> None:
        self.storage = SimKvStorage()
        self.volume = OURS

    async def open_volume(self) -> Volume:
        return Volume("/nonexistent", self.data_disk)

    async def close_volume(self) -> None:
        pass

    async def tape_transports(self) -> list:
        if self.cartridge is None:
            return []
        self.drive = _Drive(self.cartridge)
        return [self.drive]

    def open_kv(self, directory: str, tables, duplicates=(), map_bytes: int = 0, read_only: bool = False):
        storage = self.storage if directory.endswith("/catalog") else self.others.setdefault(directory, SimKvStorage())
        return SimKv(storage, tables, duplicates)

    def replace_kv(self, directory: str, by: str) -> None:
        self.storage = self.others.pop(by)

    async def listen_tcp(self, host: str, port: int):
        from hal.linux.net import TcpListener

        return TcpListener(host, port)

    async def listen_tls(self, host: str, port: int, certificate: bytes, key: bytes):
        raise BusError("a simulated machine has no TLS")

    def make_identity(self, common_name: str):
        return b"certificate of " + common_name.encode(), b"key"

    def pbkdf2(self, password: bytes, salt: bytes, rounds: int) -> bytes:
        return _pbkdf2(password, salt, min(rounds, 10))

    def memory(self) -> dict:
        return {}

    async def power_off(self) -> None:
        self.off = "off"

    async def reboot(self) -> None:
        self.off = "reboot"
