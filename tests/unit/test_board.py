"""Board tables, module table, disk layout: the parts of the UEFI board that need no hardware."""

import os

from board import host, pc_x86_64, qemu_q35, select
from hal.errors import NoSpace, NotReady
from hal.linux import block, gpt, lan, modules, pstore, volume

_GIB = 1 << 30
_MIB = 1 << 20


def test_the_board_is_chosen_by_its_product_name():
    assert select.detect("Standard PC (Q35 + ICH9, 2009)") is qemu_q35
    assert select.detect("OptiPlex 7010") is pc_x86_64
    assert select.detect("") is pc_x86_64


def test_an_unknown_board_is_refused():
    try:
        select.machine("toaster", [])
    except ValueError as error:
        assert "toaster" in str(error) and "qemu_q35" in str(error)
    else:
        raise AssertionError("accepted")


def test_hardware_keys_of_a_pci_function():
    keys = modules.keys_of("0x8086", "0x2922", "0x010601")
    assert "8086:2922" in keys and "*:c010601" in keys and "*:c0106" in keys and "8086:c01" in keys


def _table(text: str):
    folder = "build"
    path = folder + "/table"
    with open(path, "w") as out:
        out.write(text)
    return modules.ModuleTable(folder)


def test_modules_load_where_their_hardware_is():
    table = _table("ahci scsi_mod,libata *:c010601\nscsi_mod - -\ne1000e - 8086:10d3\nlibata scsi_mod -\n")
    os.unlink("build/table")
    present = {"8086:2922", "*:c010601"}
    assert table.wants("ahci", present) and table.wants("scsi_mod", present)
    assert not table.wants("e1000e", present)
    try:
        table.load("nonsense")
    except NotReady as error:
        assert "nonsense" in str(error)
    else:
        raise AssertionError("loaded")


def test_catalog_size_follows_the_disk():
    for disk, expected in ((_GIB, 256 * _MIB), (4 * _GIB, 256 * _MIB), (100 * _GIB, 5 * _GIB), (4096 * _GIB, 64 * _GIB)):
        assert volume.catalog_bytes(disk) == expected, disk
    assert volume.catalog_bytes(512 * _MIB) == 128 * _MIB


def test_layout_fits_the_partition_table():
    for disk in (_GIB, 3 * _GIB + 512, 500107862016, 8001563222016):
        parts = volume.layout(disk)
        gpt.build(disk // 512 * 512, 512, parts)
        assert all([start % _MIB == 0 and size % _MIB == 0 for _, _, start, size in parts])
    try:
        volume.layout(_GIB - 1)
    except NoSpace:
        return
    raise AssertionError("a disk that is too small was accepted")


class _Disk:
    def __init__(self, path: str, bus: str, kinds: list):
        self.path = path
        self.bus = bus
        self.partitions = [gpt.Partition(i + 1, kind, "", 0, 0) for i, kind in enumerate(kinds)]

    partition = block.BlockDevice.partition
    partition_path = block.BlockDevice.partition_path


def test_the_flash_disk_is_never_the_data_disk():
    flash = _Disk("/dev/sda", "../ata1/", ["x", gpt.CONFIG_TYPE])
    usb = _Disk("/dev/sdb", "../usb1/", [])
    data = _Disk("/dev/sdc", "../ata2/", [])
    ours = _Disk("/dev/sdd", "../ata3/", [gpt.CATALOG_TYPE, gpt.STORE_TYPE])
    assert block.flash_disk([usb, flash]) is flash
    assert block.data_disk([flash, usb, data], "/ata") is data
    assert block.data_disk([flash, usb, data, ours], "/ata") is ours
    assert block.data_disk([flash, usb], "/ata") is None


def test_partition_names():
    assert _Disk("/dev/sda", "", ["x"]).partition_path(gpt.Partition(2, "", "", 0, 0)) == "/dev/sda2"
    assert _Disk("/dev/mmcblk0", "", ["x"]).partition_path(gpt.Partition(2, "", "", 0, 0)) == "/dev/mmcblk0p2"


def test_addresses_are_checked():
    assert lan.packed_address("192.168.0.1") == b"\xc0\xa8\x00\x01"
    for text in ("", "1.2.3", "1.2.3.256", "1.2.3.x", "1.2.3.4.5", "1.2.3.-4", "1..2.3"):
        try:
            lan.packed_address(text)
        except ValueError:
            continue
        raise AssertionError("%r was accepted" % text)


def test_route_and_address_structures():
    assert len(lan._rtentry("10.0.2.2")) == 120
    assert len(lan._ifreq("eth0", lan._sockaddr("10.0.2.15"))) == 40


def test_host_arguments():
    found = host.parse(["--state", "/s", "--listen", "127.0.0.1:99", "--tape", "a", "--tape", "b", "--size", "5"])
    assert (found["state"], found["host"], found["port"], found["tapes"], found["size"]) == (
        "/s",
        "127.0.0.1",
        99,
        ["a", "b"],
        5,
    )
    for words in ([], ["--state"], ["--state", "/s", "--nonsense", "1"], ["--state", "/s", "--size", "big"]):
        try:
            host.parse(words)
        except ValueError:
            continue
        raise AssertionError("%r was accepted" % words)


def test_a_crash_is_put_together_from_its_parts():
    records = [
        ("dmesg-efi-2", "Panic#1 Part2\nfirst\nsecond\n"),
        ("dmesg-efi-1", "Panic#1 Part1\nthird\n"),
        ("dmesg-efi-3", "Oops#2 Part1\nother\n"),
        ("console-1", "no title"),
    ]
    assert pstore.join(records) == [("Oops 2", "other\n"), ("Panic 1", "first\nsecond\nthird\n"), ("console-1", "no title")]
    assert pstore.join([("x", "Panic#1 Part1\n" + "a" * 9000 + "end")])[0][1].endswith("end")
    assert len(pstore.join([("x", "Panic#1 Part1\n" + "a" * 9000)])[0][1]) == 6000
    for title in ("", "Panic", "Panic#", "Panic#x Part1", "#1 Part1", "Panic#1 Part"):
        assert pstore.parse_title(title) is None
