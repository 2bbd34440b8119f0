"""build/rootfs: the Debian packages of `tables.PACKAGES`, extracted, and which file came from which package."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from image import tables
from image.paths import BUILD, ROOTFS, BuildError, run

INVENTORY = BUILD / "rootfs.json"
_FORMAT = 1


def _wanted() -> str:
    listed = "%d %s %s" % (_FORMAT, tables.SUITE, ",".join(tables.PACKAGES))
    return hashlib.sha256(listed.encode()).hexdigest()


def inventory() -> dict:
    """{"wanted": hash, "packages": {name: {"version", "architecture", "source", "files"}}} of build/rootfs, {} if none."""
    try:
        return json.loads(INVENTORY.read_text())
    except (OSError, ValueError):
        return {}


def ensure(say=print) -> None:
    """Build build/rootfs unless it holds what the tables ask for. Raises BuildError."""
    if ROOTFS.is_dir() and inventory().get("wanted") == _wanted():
        return
    say("extracting Debian %s packages into build/rootfs: %s" % (tables.SUITE, " ".join(tables.PACKAGES)))
    fresh = BUILD / "rootfs.new"
    _remove(fresh)
    INVENTORY.unlink(missing_ok=True)
    _extract(fresh)
    packages = _read_packages(fresh / "var/cache/apt/archives")
    _remove(fresh / "var/cache")
    _remove(ROOTFS)
    fresh.rename(ROOTFS)
    INVENTORY.write_text(json.dumps({"wanted": _wanted(), "packages": packages}, indent=1, sort_keys=True))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _extract(folder: Path) -> None:
    """The archives are kept, for the inventory."""
    # Not in a user namespace: that would leave files of other owners, which the caller could not delete.
    mode = ["--mode=fakechroot"] if os.geteuid() else []
    run(
        [
            "mmdebstrap",
            "--variant=extract",
            "--architectures=amd64",
            "--skip=cleanup/apt/cache",
            "--include=" + ",".join(tables.PACKAGES),
            *mode,
            tables.SUITE,
            folder,
        ]
    )


def _read_packages(archives: Path) -> dict:
    found = {}
    for archive in sorted(archives.glob("*.deb")):
        shown = run(["dpkg-deb", "-W", "--showformat=${Package}\t${Version}\t${Architecture}\t${source:Package}", archive])
        name, version, architecture, source = shown.split("\t")
        found[name] = {"version": version, "architecture": architecture, "source": source, "files": _files(name, archive)}
    if not found:
        raise BuildError("mmdebstrap left no packages in %s: update mmdebstrap" % archives)
    return found


def _files(name: str, archive: Path) -> list:
    # The kernel package is 100 MB of modules whose owner is plain from the path.
    if name.startswith("linux-image"):
        return ["boot/*", "usr/lib/modules/*"]
    stream = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    listed = run(["tar", "-t"], stdin=stream.stdout)
    stream.stdout.close()
    if stream.wait():
        raise BuildError("dpkg-deb cannot read %s: delete build/rootfs* and try again" % archive.name)
    return sorted(line[2:] for line in listed.splitlines() if not line.endswith("/"))
