"""Builds build/bobbin-VERSION.img. Called by the verbs `image`, `boot`, `run` and `test`."""

import hashlib
from pathlib import Path

from image import disk, firmware, initramfs, rootfs, sbom, tables, uki
from image.paths import BUILD, BuildError

_LOADER = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"


def path() -> Path:
    return BUILD / ("bobbin-%s.img" % firmware.version())


def build(say=print) -> dict:
    """Build the image; gives {"path", "bytes" (content), "sha256"}. Raises BuildError."""
    rootfs.ensure(say)
    staging = BUILD / "esp"
    staging.mkdir(parents=True, exist_ok=True)
    files = _esp_files(staging)
    content = sum(source.stat().st_size for source in files.values()) + tables.CONFIG_BYTES
    if content > tables.CONTENT_LIMIT_BYTES:
        raise BuildError(
            "the image has %d bytes of content, at most %d are allowed: drop something in image/tables.py"
            % (content, tables.CONTENT_LIMIT_BYTES)
        )
    disk.write(path(), files)
    return {"path": str(path()), "bytes": content, "sha256": _digest(path())}


def _esp_files(staging: Path) -> dict:
    """{path in the ESP: file}."""
    filesystem = initramfs.Initramfs()
    packed = initramfs.compress(filesystem.build())
    origins = dict(filesystem.origins, **{"kernel": uki.kernel(), "stub": uki.STUB, "loader": _LOADER})
    bill = sbom.build(origins, filesystem.own).encode()
    contents = {
        tables.SLOT_A: uki.build(packed),
        tables.LOADER: (rootfs.ROOTFS / _LOADER).read_bytes(),
        "/loader/loader.conf": tables.LOADER_CONFIG.encode(),
        tables.BILL: bill,
    }
    (BUILD / ("bobbin-%s.spdx.json" % firmware.version())).write_bytes(bill)
    found = {}
    for target, data in contents.items():
        found[target] = staging / target.rpartition("/")[2]
        found[target].write_bytes(data)
    return found


def _digest(image: Path) -> str:
    with open(image, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
