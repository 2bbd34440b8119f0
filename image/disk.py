"""The flash image: GPT with an EFI system partition and the config partition. Needs no root and no loop device."""

import os
from pathlib import Path

from hal.linux import gpt
from image import tables
from image.paths import commit_time, run

_SECTOR = 512


def _environment() -> dict:
    # mtools and sfdisk take "now" from it.
    return {"SOURCE_DATE_EPOCH": str(commit_time()), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}


def _script() -> str:
    esp, config = tables.ALIGN_BYTES // _SECTOR, (tables.ALIGN_BYTES + tables.ESP_BYTES) // _SECTOR
    return (
        "label: gpt\nlabel-id: %s\nunit: sectors\nfirst-lba: 34\n" % tables.DISK_GUID
        + 'start=%d, size=%d, type=%s, uuid=%s, name="bobbin-esp"\n'
        % (esp, tables.ESP_BYTES // _SECTOR, tables.ESP_TYPE, tables.ESP_GUID)
        + 'start=%d, size=%d, type=%s, uuid=%s, name="bobbin-config"\n'
        % (config, tables.CONFIG_BYTES // _SECTOR, gpt.CONFIG_TYPE, tables.CONFIG_GUID)
    )


def _fill_esp(image: Path, files: dict) -> None:
    drive = "%s@@%d" % (image, tables.ALIGN_BYTES)
    run(
        [
            "mformat",
            "-i",
            drive,
            "-F",
            "-c",
            "2",
            "-T",
            tables.ESP_BYTES // _SECTOR,
            "-h",
            "64",
            "-s",
            "32",
            "-N",
            tables.ESP_VOLUME_ID,
            "-v",
            "BOBBIN",
            "::",
        ],
        env=_environment(),
    )
    folders = sorted({path.rpartition("/")[0] for path in files if path.count("/") > 1})
    made = [""]
    for folder in folders:
        for depth in range(2, len(folder.split("/")) + 1):
            part = "/".join(folder.split("/")[:depth])
            if part not in made:
                run(["mmd", "-i", drive, "::" + part], env=_environment())
                made.append(part)
    for path, source in sorted(files.items()):
        os.utime(source, (commit_time(), commit_time()))
        run(["mcopy", "-m", "-i", drive, source, "::" + path], env=_environment())


def write(image: Path, files: dict) -> None:
    """Make `image`; `files` maps a path in the ESP to the file with its content. Sparse; replaces the old one at the end."""
    fresh = image.with_suffix(".new")
    with open(fresh, "wb") as out:
        # One more MiB for the second copy of the GPT.
        out.truncate(2 * tables.ALIGN_BYTES + tables.ESP_BYTES + tables.CONFIG_BYTES)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", fresh], input=_script(), env=_environment())
    _fill_esp(fresh, files)
    fresh.replace(image)
