"""The image builder: archive, UKI, GPT, bill of materials, and that the same commit gives the same bytes."""

import hashlib
import json
import lzma
import os
import shutil
import struct
import subprocess
import sys

import pytest

from hal.linux import gpt
from image import cpio, elf, firmware, image, initramfs, modules, pe, sbom, tables
from image.paths import BUILD, ROOT, ROOTFS, SEARCH, BuildError, run


@pytest.fixture(scope="module")
def built():
    return image.build()


@pytest.fixture(scope="module")
def content():
    """{path: size} of the initramfs, as cpio lists it."""
    made = initramfs.Initramfs()
    archive = made.build()
    listed = subprocess.run(["cpio", "-tv", "--quiet"], input=archive, capture_output=True, env={"PATH": SEARCH, "TZ": "UTC"})
    assert listed.returncode == 0, listed.stderr
    return made, [line.split() for line in listed.stdout.decode().splitlines()]


def test_archive_is_what_cpio_reads(content):
    _, lines = content
    names = [line[-1] if "->" not in line else line[-3] for line in lines]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert all(line[2] == "root" and line[3] == "root" for line in lines)
    assert [line[0] for line in lines if line[-1] == "dev/console"] == ["crw-------"]
    assert "usr/bin/micropython" in names and "lib/bobbin/firmware/main.mpy" in names


def test_no_shell_in_the_image(content):
    """Only the loader, MicroPython and mke2fs can be run."""
    _, lines = content
    programs = [line[-1] for line in lines if line[0].startswith("-rwx") and "/lib" not in line[-1]]
    assert sorted(programs) == ["usr/bin/micropython", "usr/sbin/mke2fs"]


def test_every_library_finds_its_libraries(content):
    made, _ = content
    there = {path.rpartition("/")[2] for path in made.origins}
    for path, origin in made.origins.items():
        if ".so" in path or path in tables.PROGRAMS:
            assert set(elf.load(ROOTFS / origin).needed()) <= there, path


def test_archive_needs_nothing_from_the_clock():
    def pack():
        archive = cpio.Archive(1234)
        archive.link("b/link", "target")
        archive.file("b/c/d", b"data", 0o755)
        archive.file("a", b"")
        return archive.pack()

    assert pack() == pack()


def test_module_table_loads_in_order():
    found = modules.collect()
    rows = {line.split()[0]: line.split()[1] for line in modules.table(found).splitlines()}
    for name, needs in rows.items():
        order = [] if needs == "-" else needs.split(",")
        for i, need in enumerate(order):
            assert set(found[need].depends) <= set(order[:i]), "%s before what it needs, for %s" % (need, name)
        assert set(found[name].depends) <= set(order), name


def test_modules_know_their_hardware():
    found = modules.collect()
    assert "*:c010601" in found["ahci"].keys
    assert "8086:10d3" in found["e1000e"].keys
    assert "8086:25ab" in found["i6300esb"].keys
    assert found["scsi_mod"].keys == [] and found["virtio_scsi"].keys


def test_a_module_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(modules, "wanted", lambda: ["no_such_module"])
    with pytest.raises(BuildError, match="no_such_module"):
        modules.collect()


def test_pci_aliases():
    assert modules.pci_key("pci:v00008086d000010D3sv*sd*bc*sc*i*") == "8086:10d3"
    assert modules.pci_key("pci:v*d*sv*sd*bc01sc06i01*") == "*:c010601"
    assert modules.pci_key("pci:v00001B4Bd*sv*sd*bc01sc06i*") == "1b4b:c0106"
    with pytest.raises(BuildError):
        modules.pci_key("pci:nonsense")


def test_sections_of_the_kernel_image(built):
    data = (BUILD / "esp" / tables.SLOT_A.rpartition("/")[2]).read_bytes()
    header = struct.unpack_from("<I", data, 0x3C)[0]
    (count,) = struct.unpack_from("<H", data, header + 6)
    (optional,) = struct.unpack_from("<H", data, header + 20)
    found, last = {}, 0
    for i in range(count):
        name, size, address, raw, offset = struct.unpack_from("<8sIIII", data, header + 24 + optional + 40 * i)
        assert address % 4096 == 0 and address >= last and raw >= size
        last = address + size
        found[name.rstrip(b"\0").decode()] = data[offset : offset + size]
    (image_size,) = struct.unpack_from("<I", data, header + 24 + 56)
    assert image_size >= last
    assert found[".cmdline"].rstrip(b"\0").decode() == tables.COMMAND_LINE
    assert found[".linux"][:2] == b"MZ" and found[".initrd"][:4] == b"\x28\xb5\x2f\xfd"
    assert 'VERSION_ID="%s"' % firmware.version() in found[".osrel"].decode()


def test_a_stub_that_is_none_is_refused():
    with pytest.raises(BuildError, match="not a PE file"):
        pe.append_sections(bytes(1024), [(".x", b"")])


def test_partitions(built):
    run(["sfdisk", "--verify", built["path"]])
    esp, config = gpt.read(built["path"])
    assert (esp.kind, esp.guid, config.kind) == (tables.ESP_TYPE, tables.ESP_GUID, gpt.CONFIG_TYPE)
    assert config.size_bytes == tables.CONFIG_BYTES
    with open(built["path"], "rb") as source:
        source.seek(config.start)
        assert source.read(config.size_bytes) == bytes(config.size_bytes)


def test_esp_is_a_clean_fat(built, tmp_path):
    """Read by mtools, checked by fsck.fat where there is one."""
    with open(built["path"], "rb") as source, open(tmp_path / "esp", "wb") as out:
        source.seek(tables.ALIGN_BYTES)
        shutil.copyfileobj(source, out, 1 << 20)
    os.truncate(tmp_path / "esp", tables.ESP_BYTES)
    for path in (tables.SLOT_A, tables.LOADER, tables.BILL, "/loader/loader.conf"):
        run(["mcopy", "-n", "-i", tmp_path / "esp", "::" + path, tmp_path / "out"])
        os.replace(tmp_path / "out", tmp_path / path.rpartition("/")[2])
    assert (tmp_path / "bobbin-a.efi").read_bytes() == (BUILD / "esp/bobbin-a.efi").read_bytes()
    if shutil.which("fsck.fat", path=SEARCH):
        run(["fsck.fat", "-n", tmp_path / "esp"])


def test_size_limit(built, monkeypatch):
    assert built["bytes"] <= tables.CONTENT_LIMIT_BYTES
    monkeypatch.setattr(tables, "CONTENT_LIMIT_BYTES", 1 << 20)
    with pytest.raises(BuildError, match="drop something"):
        image.build()


def test_same_commit_same_image(built, tmp_path):
    """A second build in another process, in another folder, from other .mpy files, at another time."""
    shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    (tmp_path / "copy/build").mkdir()
    for name in ("rootfs", "rootfs.json", "venv"):
        (tmp_path / "copy/build" / name).symlink_to(BUILD / name)
    code = "from image import image; print(image.build()['sha256'])"
    environment = dict(os.environ, SOURCE_DATE_EPOCH=str(_commit_time()), PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="7")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "copy", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == built["sha256"]


def _commit_time() -> int:
    from image.paths import commit_time

    return commit_time()


def test_bill_lists_exactly_what_is_there(content):
    made, lines = content
    bill = json.loads(sbom.build(made.origins, made.own))
    files = {line[-1] for line in lines if line[0].startswith("-")}
    assert {one["fileName"][2:] for one in bill["files"]} == files
    ids = [one["SPDXID"] for one in bill["files"] + bill["packages"]]
    assert len(set(ids)) == len(ids)
    for link in bill["relationships"]:
        assert {link["spdxElementId"], link["relatedSpdxElement"]} <= set(ids) | {"SPDXRef-DOCUMENT"}
    names = {one["name"]: one for one in bill["packages"]}
    assert names["micropython"]["versionInfo"].startswith("1.25") and names["micropython"]["licenseDeclared"] == "MIT"
    assert all(one["versionInfo"] and one["licenseDeclared"] for one in bill["packages"])


def test_a_package_without_licence_is_refused():
    with pytest.raises(BuildError, match="licence"):
        sbom.licence("something-new")


def test_the_kernel_can_unpack_the_initramfs():
    config = (ROOTFS / "boot" / ("config-" + modules.kernel_release())).read_text()
    for option in ("CONFIG_RD_ZSTD=y", "CONFIG_EFI_STUB=y"):
        assert option in config


def test_bill_describes_what_the_image_holds(content):
    """The digest of a module is that of the unpacked module."""
    made, _ = content
    bill = json.loads(sbom.build(made.origins, made.own))
    digests = {one["fileName"][2:]: one["checksums"][1]["checksumValue"] for one in bill["files"]}
    module = next(one for one in modules.collect().values() if one.name == "ext4")
    data = lzma.decompress(module.path.read_bytes())
    assert digests["lib/modules/ext4.ko"] == hashlib.sha256(data).hexdigest()
