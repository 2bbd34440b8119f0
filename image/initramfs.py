"""The initramfs: loader, MicroPython, libraries, kernel modules, firmware. No shell. Used by `image.image`."""

import hashlib
import subprocess
from pathlib import Path

from image import elf, firmware, modules, tables
from image.cpio import Archive
from image.paths import BUILD, ROOT, ROOTFS, SEARCH, BuildError, commit_time

_LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu"
_LOADER = "usr/lib64/ld-linux-x86-64.so.2"
_LINKS = (("bin", "usr/bin"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin"))
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "mnt", "etc")


class Initramfs:
    """For the bill of materials: `origins` {path in the initramfs: path in the rootfs}, `own` {path: content} that is ours."""

    def __init__(self):
        self.origins = {}
        self.own = {}
        self._archive = Archive(commit_time())

    def build(self) -> bytes:
        """The archive, uncompressed."""
        for folder in _FOLDERS:
            self._archive.folder(folder)
        for path, target in _LINKS:
            self._archive.link(path, target)
        # PID 1's standard input, output and error, before devtmpfs is mounted.
        self._archive.device("dev/console", 0o600, 5, 1)
        self._add_programs()
        self._add_modules()
        for name, data in firmware.compiled().items():
            self._own("lib/bobbin/" + name, data)
        # On the default sys.path of MicroPython, which init then replaces.
        self._own("usr/lib/micropython/init.mpy", firmware.compile_file(ROOT / "image/init.py", "init.py"))
        return self._archive.pack()

    def _add_programs(self) -> None:
        self._copy(_LOADER, _LOADER, 0o755)
        queue = list(tables.LIBRARIES)
        for path in tables.PROGRAMS:
            self._copy(path, path, 0o755)
            queue += elf.load(ROOTFS / path).needed()
        done = {Path(_LOADER).name}
        while queue:
            soname = queue.pop()
            if soname not in done:
                done.add(soname)
                path = self._find(soname)
                self._copy("%s/%s" % (_LIBRARY_FOLDER, soname), path, 0o755)
                queue += elf.load(ROOTFS / path).needed()

    def _find(self, soname: str) -> str:
        found = ROOTFS / _LIBRARY_FOLDER / soname
        if not found.exists():
            raise BuildError("no Debian package in image/tables.py brings %s: add its package" % soname)
        return found.resolve().relative_to(ROOTFS.resolve()).as_posix()

    def _copy(self, path: str, origin: str, mode: int) -> None:
        self._archive.file(path, (ROOTFS / origin).read_bytes(), mode)
        self.origins[path] = origin

    def _add_modules(self) -> None:
        found = modules.collect()
        for module in found.values():
            path = "lib/modules/%s.ko" % module.name
            self._archive.file(path, modules.unpacked(module.path))
            self.origins[path] = module.path.relative_to(ROOTFS).as_posix()
        self._own("lib/modules/table", modules.table(found).encode())

    def _own(self, path: str, data: bytes) -> None:
        self._archive.file(path, data)
        self.own[path] = data


def compress(archive: bytes) -> bytes:
    """zstd, which the kernel unpacks fastest of what it knows; one thread, so that the result is always the same.

    The last result is kept in build/: an archive that did not change is not compressed again.
    """
    kept = BUILD / ("initramfs-%s.zst" % hashlib.sha256(archive).hexdigest()[:16])
    if kept.exists():
        return kept.read_bytes()
    for other in BUILD.glob("initramfs-*.zst"):
        other.unlink()
    try:
        done = subprocess.run(
            ["zstd", "-19", "-q", "--single-thread", "-c"],
            input=archive,
            stdout=subprocess.PIPE,
            env={"PATH": SEARCH},
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise BuildError("zstd cannot compress the initramfs: %s" % error)
    complete = kept.with_suffix(".new")
    complete.write_bytes(done.stdout)
    complete.rename(kept)
    return done.stdout
