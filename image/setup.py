"""Installs what building and testing need, only what is missing: Debian packages, virtual environment, rootfs.

Every other verb names in NEEDS what it uses, and `ensure` is called with that. It runs under the system's Python before
anything is installed: standard library only.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from image import rootfs
from image.paths import BUILD, ROOT, SEARCH, VENV, BuildError

# Debian packages by what needs them. apt-get installs those that are missing, nothing more.
PACKAGES = {
    "build": ("debian-archive-keyring", "fdisk", "gpg", "mmdebstrap", "mtools", "python3-venv", "zstd"),
    "lab": ("cpio", "istgt", "ovmf", "postgresql", "qemu-block-extra", "qemu-system-x86", "tgt"),
    "filesystems": ("btrfs-progs", "fuse3", "xfsprogs"),
    # The same libraries that the image has, for CPython on this machine.
    "libraries": ("libaio1", "libb2-1", "libisal2", "libiscsi7", "liblmdb0", "libmbedcrypto7", "librsync2", "libzstd1"),
}
# What only `build.py bench backup` needs: it asks for "peers". Not installed by any other verb.
PEERS = ("borgbackup", "burp", "iproute2", "nftables", "openssh-client", "openssh-server", "openssl", "rclone")
# Services that come with these packages and would listen on the network; the lab starts its own, on the loopback interface.
_SERVICES = {"istgt": "istgt", "tgt": "tgt", "openssh-server": "ssh", "burp": "burp"}  # package: service
# mmdebstrap needs them where the caller is not root.
_UNPRIVILEGED = ("fakechroot", "fakeroot")
# The release that the image is made of signs with keys that old versions of debian-archive-keyring lack.
_KEYS = Path("/usr/share/keyrings/debian-archive-trixie-automatic.gpg")
_LISTS = Path("/var/lib/apt/lists")

NEEDS = ("packages", "venv", "rootfs")


def add_arguments(parser) -> None:
    pass


def run(arguments) -> int:
    print("everything is installed")
    return 0


def tell(text: str) -> None:
    """At once: what follows may replace this process."""
    print(text, flush=True)


def ensure(needs, say=tell) -> None:
    """Make sure of "packages", "peers", "venv", "rootfs", as far as `needs` names them. Raises BuildError."""
    BUILD.mkdir(exist_ok=True)
    for name, step in (("packages", _packages), ("peers", _peers), ("venv", _venv), ("rootfs", rootfs.ensure)):
        if name in needs:
            step(say)


def wanted() -> list:
    """Names of all Debian packages that this machine needs."""
    names = {name for group in PACKAGES.values() for name in group}
    return sorted(names.union(_UNPRIVILEGED if os.geteuid() else ()))


def missing(names: list) -> list:
    """Those of `names` that are not installed."""
    try:
        shown = subprocess.run(
            ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\\n"] + names,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout
    except FileNotFoundError:
        raise BuildError("this machine has no dpkg: Debian 12 or a system of its kind is needed")
    there = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    absent = [name for name in names if name not in there]
    if "debian-archive-keyring" not in absent and not _KEYS.exists():
        absent.append("debian-archive-keyring")
    return absent


def _packages(say) -> None:
    _install(wanted(), say)


def _peers(say) -> None:
    _install(list(PEERS), say)


def _install(names: list, say) -> None:
    absent = missing(names)
    if not absent:
        return
    say("installing Debian packages: " + " ".join(absent))
    if not any(_LISTS.glob("*_Packages*")):
        _apt(["update"])
    command = ["install", "-y", "--no-install-recommends"] + absent
    try:
        _apt(command)
    except BuildError:
        # Lists that are too old name versions that are gone.
        _apt(["update"])
        _apt(command)
    _switch_off([service for package, service in _SERVICES.items() if package in absent])


def _switch_off(services: list) -> None:
    """Best effort: where there is no systemd they were not started."""
    for name in services if shutil.which("systemctl", path=SEARCH) else []:
        subprocess.run(
            _as_root(["systemctl", "--quiet", "disable", "--now", name]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ, PATH=SEARCH),
        )


def _as_root(command: list) -> list:
    """Raises BuildError without root and sudo."""
    if os.geteuid() == 0:
        return command
    if not shutil.which("sudo"):
        raise BuildError("no root and no sudo: as root, run %s" % " ".join(command))
    return ["sudo"] + command


def _apt(words: list) -> None:
    command = _as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"] + words)
    done = subprocess.run(
        command,
        env=dict(os.environ, PATH=SEARCH),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if line.startswith("E:")] or done.stdout.splitlines()[-1:]
        raise BuildError("apt-get failed: %s" % " ".join(words))


def _venv(say) -> None:
    lock = (ROOT / "requirements.lock").read_bytes()
    digest = hashlib.sha256(lock + sys.version.encode()).hexdigest()
    stamp = VENV / ".lock"
    if stamp.exists() and stamp.read_text() == digest:
        return
    say("making build/venv from requirements.lock")
    if VENV.exists():
        shutil.rmtree(VENV)
    # The system's interpreter, also when the caller sits in an environment of his own.
    _checked([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(VENV)], "python3 -m venv")
    _checked(
        [
            str(VENV / "bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(ROOT / "requirements.lock"),
        ],
        "pip install",
    )
    stamp.write_text(digest)


def _checked(command: list, name: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise BuildError("%s failed: %s" % (name, " ".join(done.stdout.splitlines()[-3:])))


def in_venv() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()
