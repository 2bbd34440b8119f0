"""Figures of a whole appliance: boot, memory, backup, restore, tape; on the host board or in QEMU, beside `tar | zstd -1`.

Run by `build.py bench appliance`. Uses the trees and the board of `build.py run`.
"""

import shutil
import subprocess
import time
from pathlib import Path

from image import image
from image.paths import BUILD
from tests.chain import corpus
from tests.chain.chain import appliance
from tests.chain.pc import Pc
from tests.lab.istgt import Istgt

_FOLDER = BUILD / "bench"
_MB = 1000000
_CARTRIDGE_MIB = 1024


def run(board: str) -> list:
    """Rows (what, figure, unit, ratio to the peer or None)."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    built = image.build()
    tree = corpus.build(_FOLDER / "files")
    target = Istgt(_FOLDER / "tape")
    url = target.start(size_mib=_CARTRIDGE_MIB)
    box = appliance(board, _FOLDER / "board", built["path"], url)
    try:
        rows = [("image content", built["bytes"] / _MB, "MB", None), ("boot to ready", _seconds(box.start), "s", None)]
        return rows + _measure(box, tree)
    finally:
        box.kill()
        target.stop()
        shutil.rmtree(_FOLDER, ignore_errors=True)


def _measure(box, tree: Path) -> list:
    box.log_in()
    box.format_disk()
    rows = [("memory of the firmware, idle", box.ask("show version")["process_bytes"] / _MB, "MB", None)]
    box.ask("client add pc")
    pc = Pc("pc", _FOLDER / "state")
    pc.run("pair", box.ask("client pair pc")["code"], "--host", "127.0.0.1:%d" % box.port)
    peer = _seconds(
        lambda: subprocess.run(
            "tar -C %s -cf - . | zstd -1 -q -o %s" % (tree, _FOLDER / "floor.tar.zst"), shell=True, check=True
        )
    )
    size = sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()) / _MB
    rows.append(("tar | zstd -1, the peer", size / peer, "MB/s", 1.0))
    for name, work in (
        ("first backup", lambda: pc.run("backup", str(tree))),
        ("backup, nothing changed", lambda: pc.run("backup", str(tree))),
        ("restore", lambda: pc.run("restore", "--to", str(_FOLDER / "back"))),
    ):
        seconds = _seconds(work)
        rows.append((name, size / seconds, "MB/s of files", seconds / peer))
    box.ask("tape label bench")
    stored = box.ask("show disk")["used_bytes"] / _MB
    for name in ("backup", "verify"):
        rows.append(("tape " + name, stored / _seconds(lambda: box.ask("tape " + name)), "MB/s of segments", None))
    return rows + [("memory of the firmware, peak", box.ask("show version")["process_peak_bytes"] / _MB, "MB", None)]


def _seconds(work) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
