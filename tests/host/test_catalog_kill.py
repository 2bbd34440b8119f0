"""The real LMDB on a real ext4: a process that writes transactions is killed in the middle of them, and the database opened again.

Every transaction that was reported durable is there whole, of the one under way everything or nothing. Wants root for a loop device.
SIGKILL loses nothing that the kernel has; the filesystem image is copied at that moment as well, as a power cut would leave it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from hal.linux.lmdb import Lmdb

_TABLES = ("rows",)
_ROWS = 200  # of one transaction, all with its number
_ROUNDS = 12
_MIB = 1 << 20

_WRITER = (
    """
import sys
from hal.linux.lmdb import Lmdb
kv = Lmdb(sys.argv[1], ("rows",))
txn = kv.begin()
last = max([int.from_bytes(value[:8], "big") for _, value in txn.scan("rows")] or [0])
txn.abort()
for number in range(last + 1, 1 << 40):
    txn = kv.begin(write=True)
    for row in range(%d):
        txn.put("rows", b"%%04d" %% row, number.to_bytes(8, "big") * (1 + (row * number) %% 60))
    txn.commit()
    sys.stdout.write("%%d\\n" %% number)
    sys.stdout.flush()
"""
    % _ROWS
)


@pytest.fixture
def filesystem(tmp_path):
    """(directory on a fresh ext4, its image)."""
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        pytest.skip("root and mkfs.ext4 are needed to mount a filesystem")
    image, directory = tmp_path / "image", tmp_path / "mounted"
    with open(image, "wb") as file:
        file.truncate(128 * _MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    directory.mkdir()
    if subprocess.run(["mount", "-o", "loop", str(image), str(directory)], capture_output=True).returncode:
        pytest.skip("loop devices cannot be mounted here")
    yield directory, image
    subprocess.run(["umount", str(directory)], check=True)


def _check(directory, acknowledged: int) -> int:
    """The number that all rows have; at least what was acknowledged."""
    kv = Lmdb(str(directory), _TABLES)
    txn = kv.begin()
    rows = [(key, value) for key, value in txn.scan("rows")]
    txn.abort()
    kv.close()
    numbers = {int.from_bytes(value[:8], "big") for _, value in rows}
    assert len(numbers) <= 1, "half a transaction: %s" % numbers
    number = numbers.pop() if numbers else 0
    assert number in (acknowledged, acknowledged + 1), (number, acknowledged)
    for row, (key, value) in enumerate(rows):
        assert key == b"%04d" % row and value == number.to_bytes(8, "big") * (1 + (row * number) % 60)
    assert len(rows) == (_ROWS if number else 0)
    return number


def _killed(directory, delay_s: float) -> int:
    """Start the writer, kill it; the last number that it reported."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(directory)], stdout=subprocess.PIPE, text=True) as writer:
        first = writer.stdout.readline()
        time.sleep(delay_s)
        writer.send_signal(signal.SIGKILL)
        lines = [first] + writer.stdout.read().splitlines()
    whole = [line for line in lines if line.strip().isdigit()]
    return int(whole[-1])


def test_killed_in_the_middle_of_transactions(filesystem, tmp_path):
    directory, _ = filesystem
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed %d" % seed)
    rng = random.Random(seed)
    number = 0
    for _ in range(_ROUNDS):
        acknowledged = _killed(directory / "db", rng.random() / 10)
        assert acknowledged > number
        number = _check(directory / "db", acknowledged)


def test_the_filesystem_as_a_power_cut_leaves_it(filesystem, tmp_path):
    """The image is copied while the writer goes on: what was acknowledged before the copy began is in it."""
    directory, image = filesystem
    (directory / "db").mkdir()
    command = [sys.executable, "-c", _WRITER, str(directory / "db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(30):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGSTOP)
        copy, other = tmp_path / "copy", tmp_path / "other"
        shutil.copyfile(image, copy)
        writer.send_signal(signal.SIGKILL)
        rest = [line for line in writer.stdout.read().splitlines() if line.isdigit()]
    acknowledged = int(rest[-1]) if rest else acknowledged
    other.mkdir()
    subprocess.run(["mount", "-o", "loop", str(copy), str(other)], check=True)
    try:
        _check(other / "db", acknowledged)
    finally:
        subprocess.run(["umount", str(other)], check=True)
