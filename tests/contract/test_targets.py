"""The contract suites over real tape targets on this host, CPython and MicroPython; and what the lab promises about damage."""

import asyncio
import os
import signal
import sys

import pytest

from hal.errors import MediumError, NotReady, Timeout
from hal.linux.iscsi import IscsiTransport
from hal.ssc import cdb
from hal.ssc.drive import SscTape
from image.paths import BuildError
from tests.contract import scsi, tape, targets
from tests.lab import micropython
from tests.lab.istgt import Istgt
from tests.lab.mhvtl import Mhvtl
from tests.lab.mhvtl_guest import release
from tests.lab.tgt import Tgt

KINDS = {"istgt": Istgt, "tgt": Tgt, "mhvtl": Mhvtl}


class _Running(dict):
    """Targets by kind; a test that asks for one that is not there is skipped with the reason."""

    def __missing__(self, kind: str):
        pytest.skip(KINDS[kind].missing())


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """All targets that are there, started, by name. BOBBIN_TARGETS names their directories to the suites."""
    found = _Running()
    for kind, target in KINDS.items():
        if not target.missing():
            found[kind] = target(tmp_path_factory.mktemp(kind))
            found[kind].start()
    os.environ["BOBBIN_TARGETS"] = ",".join("%s=%s" % (kind, target.directory) for kind, target in found.items())
    os.environ["BOBBIN_PYTHON"] = sys.executable
    yield found
    for target in found.values():
        target.stop()


_NAMES = ["scsi-%s-%s" % (kind, name) for kind in KINDS for name in scsi.CASES]
_NAMES += ["tape-%s-%s" % (kind, name) for kind in KINDS for name in (*tape.CASES, "target_dies")]


@pytest.mark.parametrize("name", _NAMES)
def test_contract(running, name):
    running[name.split("-")[1]]
    asyncio.run(dict(targets.contract_cases())[name]())


def test_contract_on_micropython(running):
    micropython.run_tests("tests/contract/targets.py")


def test_istgt_block_with_a_damaged_header(running):
    """Unreadable, and everything behind it is still there: the driver steps over it by LOCATE."""

    async def run() -> None:
        bench = targets.TargetBench("istgt", str(running["istgt"].directory))
        drive = await bench.open()
        await tape.wrote(drive, "bbmbbb")
        running["istgt"].hide(3)
        await drive.rewind()
        for address, kind in enumerate("bbmbbb"):
            if address == 3:
                await tape.raises(MediumError, drive.read(bytearray(4096)))
            else:
                await tape.expect(drive, address, kind)
        await drive.locate(4)
        await tape.expect(drive, 4, "b")
        await tape.raises(MediumError, drive.locate(3))
        await drive.close()

    asyncio.run(run())


def test_target_that_stops_answering(running):
    """Timeout, the session is dropped, nothing is sent twice; the next command logs in anew."""

    async def run() -> None:
        bench = targets.TargetBench("istgt", str(running["istgt"].directory))
        bench.control("blank", 64)
        transport = await bench.connect()
        drive = SscTape(transport)
        await tape.wrote(drive, "bb")
        pid = running["istgt"].state["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await tape.raises(Timeout, transport.execute(cdb.write(4096), data_out=bytes(4096), timeout_ms=200))
            await tape.raises((NotReady, Timeout), transport.execute(cdb.test_unit_ready()))
        finally:
            os.kill(pid, signal.SIGCONT)
        await scsi.ready(transport)
        await drive.rewind()
        await tape.expect(drive, 0, "b")
        await drive.close()

    asyncio.run(run())


@pytest.mark.parametrize("url", ["iscsi://127.0.0.1:1/iqn.nobody/0", "iscsi://", "tape", "iscsi://127.0.0.1/"])
def test_no_target_there(url):
    async def run() -> None:
        transport = IscsiTransport(url)
        for _ in range(2):
            error = await tape.raises(NotReady, transport.execute(cdb.test_unit_ready()))
            assert url in str(error)
        await transport.close()

    asyncio.run(run())


def test_target_of_another_name(running):
    async def run() -> None:
        transport = IscsiTransport(running["tgt"].url.replace("poor", "rich"))
        await tape.raises(NotReady, transport.execute(cdb.test_unit_ready()))

    asyncio.run(run())


def test_a_tree_that_is_no_mhvtl(tmp_path, monkeypatch):
    monkeypatch.setenv("BOBBIN_MHVTL", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="not a built mhvtl tree: kernel/mhvtl.ko"):
        Mhvtl(tmp_path / "lab").start()
    (tmp_path / "mhvtl.ko").write_bytes(b"vermagic=5.4.0-generic SMP")
    with pytest.raises(BuildError, match="Debian 12 kernel"):
        release(tmp_path / "mhvtl.ko")


def test_damage_needs_recorded_blocks(running):
    with pytest.raises(ValueError, match="not recorded"):
        running["istgt"].damage(1000, 2)


def test_two_initiators_one_after_the_other(running):
    async def run() -> None:
        bench = targets.TargetBench("istgt", str(running["istgt"].directory))
        first = await bench.open()
        await tape.wrote(first, "bb")
        second = SscTape(await bench.connect())
        await second.rewind()
        await tape.expect(second, 0, "b")
        await tape.raises(Exception, first.position())
        await second.close()
        await first.close()

    asyncio.run(run())
