"""Small trees that back up in seconds: everything that a careless program loses, or many files. Used by tests of the chain."""

import os
import random
from pathlib import Path


def odd_tree(folder: Path, seed: int = 7, large_bytes: int = 24 << 20) -> Path:
    """Small files, a large one, links, a hole, odd names and times."""
    rng = random.Random(seed)
    for number in range(120):
        place = folder / ("dir%d" % (number % 7)) / "sub"
        place.mkdir(parents=True, exist_ok=True)
        (place / ("file%d.txt" % number)).write_bytes(rng.randbytes(rng.choice((0, 10, 4000, 70000))))
    (folder / "large.bin").write_bytes(rng.randbytes(large_bytes))
    with open(folder / "hole", "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"island")
    os.symlink("large.bin", folder / "link")
    os.link(folder / "large.bin", folder / "hard")
    with open(os.fsencode(folder) + b"/na\xffme", "wb") as file:
        file.write(b"not UTF-8")
    (folder / "empty").mkdir()
    os.chmod(folder / "dir0", 0o751)
    os.utime(folder / "dir1" / "sub" / "file1.txt", ns=(1, 123456789123456789))
    return folder


def many_files(folder: Path, count: int, size: int, seed: int) -> Path:
    """`count` files of `size` random bytes each, a hundred to a directory."""
    rng = random.Random(seed)
    for number in range(count):
        place = folder / ("%03d" % (number // 100))
        place.mkdir(parents=True, exist_ok=True)
        (place / ("%05d" % number)).write_bytes(rng.randbytes(size))
    return folder
