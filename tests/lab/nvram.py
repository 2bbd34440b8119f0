"""The variable store of a board's UEFI firmware, as of a board that has been switched on before.

OVMF fills an empty store on its first start; its flash writes cost 1.5 s under TCG, a third of its own time. So the store
is filled once a machine, by a board with nothing plugged in, and kept in build/. Used by `tests.lab.qemu`.
"""

import hashlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from image.paths import BUILD, SEARCH

_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
EMPTY = "/usr/share/OVMF/OVMF_VARS_4M.fd"
_FILLED = b"BdsDxe"  # the boot manager's first message: nothing is left but to boot
_TIMEOUT_S = 120


def drives(variables: Path) -> list:
    """QEMU's words for the two flash chips: firmware, and its `variables`."""
    return [
        "-drive",
        "if=pflash,unit=0,format=raw,readonly=on,file=" + _CODE,
        "-drive",
        "if=pflash,unit=1,format=raw,file=%s" % variables,
    ]


def filled() -> Path:
    """A store to copy. Raises RuntimeError if the firmware does not start."""
    digest = hashlib.sha256(Path(_CODE).read_bytes() + Path(EMPTY).read_bytes()).hexdigest()
    kept = BUILD / ("nvram-%s.fd" % digest[:16])
    if not kept.exists():
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            made = Path(folder) / "vars.fd"
            shutil.copyfile(EMPTY, made)
            _start_once(made, Path(folder) / "serial")
            made.rename(kept)
    return kept


def _start_once(variables: Path, serial: Path) -> None:
    command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "256", "-nodefaults", "-display", "none"]
    command += drives(variables) + ["-serial", "file:%s" % serial]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={"PATH": SEARCH}) as process:
        try:
            deadline = time.monotonic() + _TIMEOUT_S
            while not (serial.exists() and _FILLED in serial.read_bytes()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("OVMF does not start: no %s on the serial line" % _FILLED.decode())
                time.sleep(0.1)
        finally:
            process.kill()
