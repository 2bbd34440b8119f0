"""What every board that runs Linux has in common. `hal.linux.pc` and `hal.linux.host` derive from it."""

import struct

from hal.linux.libc import libc
from hal.machine import Machine

_RLIMIT_NOFILE = 7
_DESCRIPTORS = 4096  # connections of a thousand agents and what else is open; Linux gives 1024 to begin with


def allow_descriptors() -> None:
    """As many as are needed, or as the host lets this process have."""
    limits = bytearray(16)
    libc.prlimit(0, _RLIMIT_NOFILE, None, limits)
    now, most = struct.unpack("<QQ", limits)
    if now < _DESCRIPTORS:
        libc.prlimit(0, _RLIMIT_NOFILE, struct.pack("<QQ", min(_DESCRIPTORS, most), most), None)


class LinuxMachine(Machine):
    """`warnings` lists what did not come up at start, as text. Drivers are imported when used: PID 1 is in a hurry."""

    owns_clock = False  # whether `clock` may be set

    def __init__(self):
        self.warnings = []
        self.serials = []
        self.watchdog = None
        self.i2c = None
        self.network = {"interface": "", "address": "", "mask": "", "gateway": "", "mac": ""}

    def _open_common(self) -> None:
        from hal.linux.clock import SystemClock
        from hal.linux.rwp import NativeProcessor

        allow_descriptors()
        self.clock = SystemClock(may_set=self.owns_clock)
        self.processor = NativeProcessor()

    def open_kv(self, directory: str, tables, duplicates=(), map_bytes: int = 0, read_only: bool = False):
        from hal.linux.lmdb import Lmdb

        return Lmdb(directory, tables, duplicates, map_bytes, read_only)

    def replace_kv(self, directory: str, by: str) -> None:
        from hal.linux.lmdb import replace

        replace(directory, by)

    async def listen_tcp(self, host: str, port: int):
        from hal.linux.net import TcpListener

        return TcpListener(host, port)

    async def listen_tls(self, host: str, port: int, certificate: bytes, key: bytes):
        from hal.linux.net import TlsListener

        return TlsListener(host, port, certificate, key)

    def make_identity(self, common_name: str):
        from hal.linux.identity import make_identity

        return make_identity(common_name)

    def pbkdf2(self, password: bytes, salt: bytes, rounds: int) -> bytes:
        from hal.linux.identity import pbkdf2

        return pbkdf2(password, salt, rounds)

    def memory(self) -> dict:
        board, process = _kilobytes("/proc/meminfo"), _kilobytes("/proc/self/status")
        return {
            "total_bytes": board.get("MemTotal", 0),
            "free_bytes": board.get("MemAvailable", 0),
            "process_bytes": process.get("VmRSS", 0),
            "process_peak_bytes": process.get("VmHWM", 0),
        }


def _kilobytes(path: str) -> dict:
    """The lines `Name:  N kB` of a file in /proc, in bytes (proc(5))."""
    found = {}
    with open(path) as source:
        for line in source:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                found[words[0][:-1]] = int(words[1]) * 1024
    return found
