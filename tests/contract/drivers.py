"""Every driver that a contract suite runs over: what builds it, hands it to a case and takes it down again.

`contract_cases` gives (id, coroutine function) for pytest (test_contract.py) and for MicroPython (tests/micro.py).
"""

import os

from hal.linux.disk import FileDisk
from hal.linux.libc import O_CREAT, O_EXCL, O_RDWR, check, libc, open_file
from hal.linux.lmdb import Lmdb
from hal.linux.rwp import NativeProcessor
from hal.sim.disk import SimDisk
from hal.sim.kv import SimKv, SimKvStorage
from tests.contract import clock, device_drivers, disk, i2c, kv, net, net_drivers, rwp, scsi, serial, sim_tape, tape, watchdog

_DISK_BYTES = 1 << 20
_TABLES = ("plain", "other", "pairs")


def _scratch(parent: str) -> str:
    """A new path below `parent`."""
    return "%s/bobbin-contract-%s" % (parent, "".join(["%02x" % byte for byte in os.urandom(8)]))


def _sparse_file(path: str, size_bytes: int) -> None:
    fd = open_file(path, O_RDWR | O_CREAT | O_EXCL)
    check(libc.ftruncate(fd, size_bytes), "size of " + path)
    libc.close(fd)


def _file_disk(parent: str, offset: int):
    async def run(case) -> None:
        path = _scratch(parent)
        _sparse_file(path, offset + _DISK_BYTES + 4096)
        try:
            opened = FileDisk(path, offset, _DISK_BYTES)
            await case(opened)
            await opened.close()
        finally:
            os.unlink(path)

    return run


async def _native_processor(case) -> None:
    processor = NativeProcessor()
    await case(processor)
    processor.close()


async def _sim_disk(case) -> None:
    await case(SimDisk(_DISK_BYTES))


async def _lmdb(case) -> None:
    path = _scratch("/var/tmp")
    try:
        await case(lambda limit_bytes=0: Lmdb(path, _TABLES, ("pairs",), limit_bytes))
    finally:
        for name in os.listdir(path):
            os.unlink(path + "/" + name)
        os.rmdir(path)


async def _sim_kv(case) -> None:
    storage = SimKvStorage()

    def opened(limit_bytes=0):
        storage.limit_bytes = limit_bytes
        return SimKv(storage, _TABLES, ("pairs",))

    await case(opened)


# (interface, driver, its cases, what runs one case)
DRIVERS = (
    ("rwp", "native", rwp.CASES, _native_processor),
    ("disk", "file", disk.CASES, _file_disk("/var/tmp", 0)),
    ("disk", "region", disk.CASES, _file_disk("/var/tmp", 8192)),
    ("disk", "tmpfs", disk.CASES, _file_disk("/dev/shm", 0)),
    ("disk", "sim", disk.CASES, _sim_disk),
    ("kv", "lmdb", kv.CASES, _lmdb),
    ("kv", "sim", kv.CASES, _sim_kv),
    ("net", "tcp", net.CASES, net_drivers.tcp),
    ("net", "tls", net.CASES, net_drivers.tls),
    ("serial", "tty", serial.CASES, device_drivers.tty),
    ("serial", "pty", serial.NO_HANG_UP, device_drivers.pty),
    ("serial", "streams", serial.CASES, device_drivers.standard_streams),
    ("i2c", "linux", i2c.CASES, device_drivers.linux_bus),
    ("i2c", "sim", i2c.CASES, device_drivers.sim_bus),
    ("watchdog", "linux", watchdog.CASES, device_drivers.linux_watchdog),
    ("watchdog", "sim", watchdog.CASES, device_drivers.sim_watchdog),
    ("clock", "host", clock.CASES, device_drivers.host_clock),
    ("clock", "own", clock.CASES, device_drivers.own_clock),
    ("scsi", "sim", scsi.CASES, sim_tape.transport),
    ("tape", "lto", tape.CASES, sim_tape.drive("lto")),
    ("tape", "descriptor", tape.CASES, sim_tape.drive("descriptor")),
    ("tape", "plain", tape.CASES, sim_tape.drive("plain")),
    ("tape", "like_istgt", tape.CASES, sim_tape.drive("istgt")),
    ("tape", "like_istgt_in_qemu", tape.CASES, sim_tape.drive("istgt_qemu")),
    ("tape", "like_tgt", tape.CASES, sim_tape.drive("tgt")),
)


def _bound(run, case):
    async def bound() -> None:
        await run(case)

    return bound


def contract_cases() -> list:
    """[(id, coroutine function)] of every case over every driver."""
    found = []
    for interface, driver, cases, run in DRIVERS:
        for name, case in cases.items():
            found.append(("%s-%s-%s" % (interface, driver, name), _bound(run, case)))
    return found
