"""A filesystem in a file, mounted by a loop device: XFS and btrfs as they are. Skips, with the reason, where that is not permitted."""

import subprocess

import pytest

_MIB = {"xfs": 320, "btrfs": 400}


class Volume:
    def __init__(self, kind: str, folder):
        self.kind = kind
        self.path = folder / kind
        self.path.mkdir()
        image = folder / (kind + ".img")
        with open(image, "wb") as file:
            file.truncate(_MIB[kind] << 20)
        for command in (["mkfs." + kind, "-q", str(image)], ["mount", "-o", "loop", str(image), str(self.path)]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            except FileNotFoundError:
                pytest.skip(f"{kind}: no {command[0]} on this machine")
            if done.returncode:
                pytest.skip(f"{kind}: {' '.join(command[:3])}: {done.stderr.strip()}")

    def close(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, timeout=60)
