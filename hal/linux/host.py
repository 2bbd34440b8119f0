"""The appliance as a native process: files for its disks, libiscsi for its tape drive. Built by `board/host.py`."""

import os
import sys

from hal.errors import BusError, NotReady
from hal.linux.libc import O_CREAT, O_RDWR, check, libc, open_file
from hal.linux.machine import LinuxMachine
from hal.machine import BLANK, FOREIGN, NONE, OURS, Volume

_MAGIC = b"BOBBIN HOST DISK\n"
_MIB = 1 << 20
_CONFIG_BYTES = 2 * _MIB
_START = _MIB  # the store begins here; the magic stands before it
_RESTART_STATUS = 75  # what `build.py host` takes for "start me again"


class HostMachine(LinuxMachine):
    """`options`: state (folder), disk (file), size (bytes of a new disk file, 0: no disk), host and port to listen on,
    telnet (port), tapes (list of iSCSI URLs), console (link to the pty, or "stdio")."""

    name = "host"
    keeps_stdout = True

    def __init__(self, options: dict):
        super().__init__()
        self._state = options["state"]
        self._disk = options["disk"] or self._state + "/disk.img"
        self._size = options["size"]
        self._tapes = options["tapes"]
        self._console = options["console"]
        self.lan_host = options["host"]
        self.settings = {"lan.port": str(options["port"]), "telnet.port": str(options["telnet"])}
        self.network["address"] = self.lan_host
        self.scratch = self._state + "/scratch"
        self.keeps_stdout = self._console != "stdio"

    async def start(self) -> None:
        self._open_common()
        for folder in (self._state, self.scratch):
            libc.mkdir(folder, 0o700)
        _empty(self.scratch)
        _ensure_file(self._state + "/config.img", _CONFIG_BYTES)
        if self._size:
            _ensure_file(self._disk, self._size)
        self.serials.append(self._open_console())

    def _open_console(self):
        if self._console == "stdio":
            from hal.linux.serial import TtySerial

            return TtySerial("/dev/tty", 115200)
        from hal.linux.pty import PtySerial

        return PtySerial(self._console)

    async def open_config(self):
        from hal.linux.disk import FileDisk

        return FileDisk(self._state + "/config.img")

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        """The host's own network is not the appliance's to change."""

    async def disk_identity(self) -> dict:
        if await self.probe_volume() == NONE:
            raise NotReady("no disk file %s: start with --size" % self._disk)
        return {"model": "file " + self._disk, "serial": "", "size_bytes": _size(self._disk)}

    async def probe_volume(self) -> str:
        if _size(self._disk) < 2 * _START:
            return NONE
        with open(self._disk, "rb") as disk:
            start = disk.read(_START)
        if start.startswith(_MAGIC):
            return OURS
        return BLANK if start == bytes(_START) else FOREIGN

    async def format_volume(self) -> None:
        size = _size(self._disk)
        if size < 2 * _START:
            raise NotReady("no disk file %s: start with --size" % self._disk)
        handle = open_file(self._disk, O_RDWR)
        try:
            # Cutting the file off and growing it again erases it; the magic comes last.
            check(libc.ftruncate(handle, 0), "erase " + self._disk)
            check(libc.ftruncate(handle, size), "size of " + self._disk)
            _empty(self._directory())
            if libc.pwrite(handle, _MAGIC, len(_MAGIC), 0) != len(_MAGIC):
                raise BusError("write %s: file system full?" % self._disk)
            check(libc.fsync(handle), "flush " + self._disk)
        finally:
            libc.close(handle)

    def _directory(self) -> str:
        return self._state + "/volume"

    async def open_volume(self) -> Volume:
        from hal.linux.disk import FileDisk

        if await self.probe_volume() != OURS:
            raise NotReady("%s is not formatted for Bobbin: use `disk format`" % self._disk)
        libc.mkdir(self._directory(), 0o700)
        return Volume(self._directory(), FileDisk(self._disk, _START))

    async def close_volume(self) -> None:
        """Nothing is mounted here."""

    async def tape_transports(self) -> list:
        from hal.linux.iscsi import IscsiTransport

        return [IscsiTransport(url) for url in self._tapes]

    async def power_off(self) -> None:
        await self._close_serials()

    async def reboot(self) -> None:
        await self._close_serials()
        sys.exit(_RESTART_STATUS)

    async def _close_serials(self) -> None:
        for serial in self.serials:
            await serial.close()
        self.serials = []


def _size(path: str) -> int:
    """Size of a file, 0 if there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _ensure_file(path: str, size: int) -> None:
    """A sparse file of zeros, unless it exists. Raises BusError, NoSpace."""
    if _size(path):
        return
    handle = open_file(path, O_RDWR | O_CREAT)
    try:
        check(libc.ftruncate(handle, size), "make " + path)
    finally:
        libc.close(handle)


def _empty(folder: str) -> None:
    """Remove what is in a folder, folders included; no folder is fine."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if libc.unlink(path) < 0:
            _empty(path)
            libc.rmdir(path)
