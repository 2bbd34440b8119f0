"""The tape service over a real store and the tape targets istgt, tgt and mhvtl, by iSCSI: the whole cycle, with damage behind the drive's back."""

import pytest

from firmware.formats import tape as form
from hal.errors import EndOfMedium, HalError, MediumError, NotReady, WriteProtected
from hal.linux.iscsi import IscsiTransport
from tests.fixtures import model
from tests.lab.istgt import Istgt
from tests.lab.mhvtl import Mhvtl
from tests.lab.tgt import Tgt
from tests.unit import test_tape_service as parts
from tests.unit.tape_parts import PROCESSOR

_SMALL_BURST = 16  # m * depth of the geometry "small"


@pytest.fixture(params=(Istgt, Tgt, Mhvtl), ids=lambda kind: kind.name)
def lab(request, tmp_path):
    if request.param.missing():
        pytest.skip(request.param.missing())
    target = request.param(tmp_path / "target")
    target.start(size_mib=64)
    yield target
    target.stop()


class Machine(parts.Machine):
    """Finds the drive of a lab target."""

    async def tape_transports(self) -> list:
        return [IscsiTransport(self.target.url)]


async def _appliance(lab, files: dict):
    bench = parts.Bench(40)
    store = await bench.start()
    client = await store.add_client("anna")
    view, _ = await model.ModelAgent(PROCESSOR).backup(await store.begin(client.id), files)
    return parts.Appliance(store, lab, Machine(lab)), client, view


FILES = {b"f%02d" % n: parts.contents(n, 400000 + n) for n in range(30)}


def _reload(lab) -> None:
    """Take the cartridge out and put it in again, as a person would."""
    lab.insert(lab.state["cartridge"])


async def test_cycle(lab):
    appliance, client, view = await _appliance(lab, FILES)
    service = appliance.tape
    assert "blank tape" in await parts.raised(NotReady, service.mount())
    await service.label("monday")
    assert (await service.status())["name"] == "monday"
    done = await service.backup()
    assert (await service.verify())["damaged"] == 0
    await service.eject()
    assert "no tape in the drive" in await parts.raised(NotReady, service.mount())
    _reload(lab)
    lab.damage(form.IMAGE_ADDRESS + 2, _SMALL_BURST)
    report = await service.verify()
    assert (report["corrected"], report["worst"]) == (_SMALL_BURST, 4)
    await service.mount()
    assert await parts.mounted_files(appliance, client, view) == FILES
    await service.unmount()

    lab.damage(form.IMAGE_ADDRESS + 2 + _SMALL_BURST, 4)
    assert "lost beyond correction" in await parts.raised(MediumError, service.verify())
    await service.mount()
    found = await parts.mounted_files(appliance, client, view)
    assert 0 < len(FILES) - len(found) < 20
    assert all(found[name] == FILES[name] for name in found)
    await service.unmount()

    assert "is complete" in (await service.backup())["text"], "an expired tape is written over"
    assert (await service.verify())["blocks"] == done["blocks"]
    await service.close()


async def test_damaged_labels_and_index(lab):
    appliance, client, view = await _appliance(lab, FILES)
    done = await appliance.tape.backup()
    lab.damage(0, 4)
    lab.damage(form.IMAGE_ADDRESS + done["blocks"] + 1, 3)
    await appliance.tape.close()
    await appliance.tape.mount()
    assert await parts.mounted_files(appliance, client, view) == FILES
    await appliance.tape.close()


async def test_write_protected(lab):
    appliance, client, view = await _appliance(lab, {b"a": b"a" * 100000})
    await appliance.tape.backup()
    lab.protect()
    assert "write-protected" in await parts.raised(WriteProtected, appliance.tape.backup())
    await appliance.tape.mount()
    assert await parts.mounted_files(appliance, client, view) == {b"a": b"a" * 100000}
    await appliance.tape.close()


async def test_too_small(lab):
    if lab.name == "tgtd":
        pytest.skip("tgtd has no end of medium")
    lab.blank(8)
    appliance, client, view = await _appliance(lab, FILES)
    assert "too small" in await parts.raised(EndOfMedium, appliance.tape.backup())
    assert "unfinished" in await parts.raised(HalError, appliance.tape.mount())
    lab.blank(64)
    await appliance.tape.backup()
    assert (await appliance.tape.verify())["damaged"] == 0
    await appliance.tape.close()


async def test_unreadable_blocks(tmp_path):
    """istgt gives a block up whose own header is damaged, and the ones behind it come back."""
    if Istgt.missing():
        pytest.skip(Istgt.missing())
    lab = Istgt(tmp_path / "target")
    lab.start(size_mib=64)
    try:
        appliance, client, view = await _appliance(lab, FILES)
        await appliance.tape.backup()
        for address in (form.IMAGE_ADDRESS, form.IMAGE_ADDRESS + 20):
            lab.hide(address)
        _reload(lab)
        report = await appliance.tape.verify()
        assert report["corrected"] == 2
        await appliance.tape.mount()
        assert await parts.mounted_files(appliance, client, view) == FILES
        await appliance.tape.close()
    finally:
        lab.stop()
