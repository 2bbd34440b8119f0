"""Whether KVM works here, proven by a real boot. On some hosts /dev/kvm opens and the guest then hangs or QEMU aborts."""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from image.modules import kernel_release
from image.paths import BUILD, ROOTFS, SEARCH
from tests.lab import nvram

_ANSWER = BUILD / "kvm.json"
_BOUND_S = 25
_DONE = b"Kernel panic"


def _host() -> str:
    shown = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, env={"PATH": SEARCH}).stdout
    return "%s %s" % (platform.release(), shown.decode().splitlines()[0])


def works() -> bool:
    """The cached answer for this host kernel and this QEMU, or a boot of at most 25 seconds to find it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    host = _host()
    try:
        known = json.loads(_ANSWER.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("host") != host:
        known = {"host": host, "works": _boots()}
        _ANSWER.write_text(json.dumps(known) + "\n")
    return known["works"]


def _boots() -> bool:
    """Through OVMF into the image's own kernel, which finds no root and resets: QEMU then ends by itself."""
    with tempfile.TemporaryDirectory() as folder:
        log, variables = Path(folder, "log"), Path(folder, "vars.fd")
        shutil.copyfile(nvram.EMPTY, variables)
        command = [
            "qemu-system-x86_64",
            "-machine",
            "q35",
            "-accel",
            "kvm",
            "-cpu",
            "host",
            "-smp",
            "2",
            "-m",
            "256",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "file:%s" % log,
            *nvram.drives(variables),
            "-kernel",
            str(ROOTFS / "boot" / ("vmlinuz-" + kernel_release())),
            "-append",
            "console=ttyS0 panic=-1",
        ]
        try:
            subprocess.run(
                command,
                timeout=_BOUND_S,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": SEARCH},
            )
        except subprocess.TimeoutExpired:
            return False
        return log.exists() and _DONE in log.read_bytes()
