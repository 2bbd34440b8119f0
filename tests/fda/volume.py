"""A filesystem in a file, mounted by a loop device: XFS, btrfs and ext4 as they are. Skips, with the reason, where that is not permitted."""

import subprocess

import pytest

_MIB = {"xfs": 320, "btrfs": 400, "ext4": 64}


class Volume:
    def __init__(self, kind: str, folder, mib: int = 0):
        self.kind = kind
        self.path = folder / kind
        self.path.mkdir()
        self._image = folder / (kind + ".img")
        with open(self._image, "wb") as file:
            file.truncate(max(mib, _MIB[kind]) << 20)
        self._run("mkfs." + kind, "-q", str(self._image))
        self._mount()

    def crash(self) -> None:
        """What programs have open is lost, and the filesystem mounted anew."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True, timeout=60)
        self._mount()

    def close(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, timeout=60)

    def _mount(self) -> None:
        self._run("mount", "-o", "loop", str(self._image), str(self.path))

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            pytest.skip(f"{self.kind}: no {command[0]} on this machine")
        if done.returncode:
            pytest.skip(f"{self.kind}: {' '.join(command[:3])}: {done.stderr.strip()}")
