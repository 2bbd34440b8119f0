"""hal.linux.disk on a loop device and on a full filesystem; needs root."""

import asyncio
import os
import subprocess

import pytest

from hal.errors import NoSpace
from hal.linux.disk import FileDisk
from hal.native import aligned

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def _command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout.strip()


def test_loop_device(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    device = _command("losetup", "--find", "--show", str(image))

    async def work() -> None:
        disk = FileDisk(device)
        found = await disk.identify()
        assert found["size_bytes"] == disk.size_bytes == 1 << 20
        page = aligned(4096)
        page[:] = b"\x5a" * 4096
        await disk.write(8192, page)
        await disk.flush()
        await disk.discard(0, 8192)
        page[:] = bytes(4096)
        await disk.read(8192, page)
        assert bytes(page) == b"\x5a" * 4096
        await disk.close()

    try:
        asyncio.run(work())
        assert image.read_bytes()[8192:12288] == b"\x5a" * 4096
    finally:
        _command("losetup", "--detach", device)


def test_full_filesystem(tmp_path):
    _command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path))

    async def work() -> None:
        disk = FileDisk(str(tmp_path / "sparse"))
        with pytest.raises(NoSpace):
            for offset in range(0, 8 << 20, 1 << 18):
                await disk.write(offset, aligned(1 << 18))
        await disk.close()

    try:
        with open(tmp_path / "sparse", "wb") as file:
            file.truncate(8 << 20)
        asyncio.run(work())
    finally:
        _command("umount", str(tmp_path))
