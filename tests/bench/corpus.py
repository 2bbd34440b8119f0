"""The files that `build.py bench backup` backs up, from a seed: *home*, *office* and *db*, and the changes made to them.

Contents are slices of a pool of made-up prose and random bytes: about half of a corpus compresses to a third, the rest not at
all, as with documents and pictures. No chunk of a useful size occurs twice.
"""

import functools
import json
import os
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

_SEED = 20261124
_VERSION = 2
_MIB = 1 << 20
PAGE_BYTES = 8192
CHANGED_SHARE = 0.01
PREFIX = b"0123456789"

_HOME_BYTES, _HOME_FILES = 1536 * _MIB, 40000
_OFFICE_BYTES, _OFFICE_FILES = 500 * _MIB, 20
_LARGE_BYTES = 200 * _MIB  # one of the office files: the one that gets bytes in front
_DB_BYTES = 1024 * _MIB
_POOL_BYTES = 24 * _MIB
_RUN_BYTES = 32 << 10  # of a mixed file that are alike
_TIME_S = 1_700_000_000
_YEARS_S = 3 * 365 * 86400

# ending, share of the files, median size, how far sizes spread (sigma of the logarithm), share of the bytes that is prose
_KINDS = (
    ("txt", 0.22, 3000, 1.2, 1.0),
    ("py", 0.20, 5000, 1.0, 1.0),
    ("html", 0.12, 9000, 1.1, 1.0),
    ("json", 0.12, 12000, 1.3, 1.0),
    ("log", 0.04, 60000, 1.2, 1.0),
    ("png", 0.14, 14000, 1.2, 0.0),
    ("jpg", 0.10, 50000, 0.8, 0.0),
    ("pdf", 0.06, 90000, 1.1, 0.5),
)


class Corpus:
    """`folder` holds home, office and db; `large` and `database` are the files that `Change`s touch."""

    def __init__(self, folder: Path, scale: float):
        self.folder = folder / "files"
        self._stamp = folder / "stamp.json"
        self.scale = scale
        self.large = self.folder / "office" / "archive.mbox"
        self.database = self.folder / "db" / "base.dat"

    def build(self) -> None:
        """Make the files, unless they are there from an earlier run and unchanged."""
        wanted = {"version": _VERSION, "seed": _SEED, "scale": self.scale}
        if self._stamp.exists() and json.loads(self._stamp.read_text()) == wanted:
            return
        self.spoil()
        shutil.rmtree(self.folder, ignore_errors=True)
        rng = random.Random(_SEED)
        pool = _Pool(rng)
        _home(self.folder / "home", rng, pool, int(_HOME_BYTES * self.scale), int(_HOME_FILES * self.scale))
        _office(self.large, rng, pool, self.scale)
        _database(self.database, rng, pool, int(_DB_BYTES * self.scale))
        self.seal()

    def spoil(self) -> None:
        """From now on the files are not what the seed says."""
        self._stamp.unlink(missing_ok=True)

    def seal(self) -> None:
        self._stamp.write_text(json.dumps({"version": _VERSION, "seed": _SEED, "scale": self.scale}))

    def small_file(self) -> Path:
        """A file of a few kilobytes, the same in every run."""
        found = (path for path in sorted((self.folder / "home").rglob("*.txt")) if 2000 < path.stat().st_size < 6000)
        return next(found)

    def total(self) -> tuple:
        """(files, bytes)."""
        sizes = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        return len(sizes), sum(sizes)


class _Pool:
    """Prose and random bytes, in slices."""

    def __init__(self, rng):
        self._rng = rng
        self._text = _text()

    def prose(self, count: int) -> bytes:
        parts, left = [], count
        draw, text = self._rng.random, self._text
        room = len(text) - 4096
        while left > 0:
            at, size = int(draw() * room), int(40 + 1500 * draw())
            parts.append(text[at : at + size])
            left -= size
        return b"".join(parts)[:count]

    def mixed(self, count: int, prose: float) -> bytes:
        """`prose`: share of the bytes that is prose."""
        if prose in (0.0, 1.0):
            return self.prose(count) if prose else self._rng.randbytes(count)
        parts = []
        for at in range(0, count, _RUN_BYTES):
            size = min(_RUN_BYTES, count - at)
            parts.append(self.prose(size) if self._rng.random() < prose else self._rng.randbytes(size))
        return b"".join(parts)


@functools.cache
def _text() -> bytes:
    rng = random.Random(_SEED)
    words = [_word(rng) for _ in range(6000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return b" ".join(rng.choices(words, weights, k=_POOL_BYTES // 6)) + b"\n"


def _word(rng) -> bytes:
    return "".join(rng.choices("etaoinshrdlucmfwypvbgkqjxz", range(26, 0, -1), k=rng.randint(2, 10))).encode()


def _home(folder: Path, rng, pool: _Pool, total: int, count: int) -> None:
    rows = []
    for ending, share, median, spread, prose in _KINDS:
        rows += [(ending, rng.lognormvariate(0, spread) * median, prose) for _ in range(round(share * count))]
    factor = total / sum(size for _, size, _ in rows)
    rng.shuffle(rows)
    folders = _folders(folder, rng, max(count // 12, 4))
    for number, (ending, size, prose) in enumerate(rows):
        path = folders[min(int(rng.expovariate(3) * len(folders)), len(folders) - 1)] / (
            "%s-%d.%s" % (_name(rng), number, ending)
        )
        _write(path, rng, pool.mixed(int(size * factor), prose))


def _folders(top: Path, rng, count: int) -> list:
    """A tree of folders that branches as people make them."""
    top.mkdir(parents=True)
    found = [top]
    while len(found) < count:
        parent = rng.choice(found)
        if len(parent.parts) - len(top.parts) < 7:
            found.append(parent / ("%s-%d" % (_name(rng), len(found))))
            found[-1].mkdir()
    rng.shuffle(found)
    return found


def _name(rng) -> str:
    return _word(rng).decode()


def _write(path: Path, rng, content: bytes) -> None:
    with open(path, "wb") as out:
        out.write(content)
    time_s = _TIME_S - rng.random() * _YEARS_S
    os.utime(path, (time_s, time_s))


def _office(large: Path, rng, pool: _Pool, scale: float) -> None:
    large.parent.mkdir()
    shares = [rng.lognormvariate(0, 0.6) for _ in range(_OFFICE_FILES - 1)]
    rest = (_OFFICE_BYTES - _LARGE_BYTES) * scale / sum(shares)
    _write(large, rng, pool.mixed(int(_LARGE_BYTES * scale), 0.5))
    for number, share in enumerate(shares):
        _write(large.with_name("%s-%d.docx" % (_name(rng), number)), rng, pool.mixed(int(rest * share), 0.6))


def _database(path: Path, rng, pool: _Pool, total: int) -> None:
    path.parent.mkdir()
    with open(path, "wb") as out:
        for number in range(total // PAGE_BYTES):
            out.write(_page(number, rng, pool))
    os.utime(path, (_TIME_S, _TIME_S))


def _page(number: int, rng, pool: _Pool) -> bytes:
    """Header, rows with random keys, free space."""
    rows = rng.randbytes(400) + pool.prose(4500 + int(2000 * rng.random()))
    return (struct.pack("<QQHH", number, rng.getrandbits(64), len(rows), 0) + rows).ljust(PAGE_BYTES, b"\0")


class PagesChanged:
    """One page in a hundred of the database, anywhere. Context: put back at the end."""

    def __init__(self, corpus: Corpus):
        self._corpus = corpus
        self._kept: list = []

    def __enter__(self):
        path, rng = self._corpus.database, random.Random(_SEED + 1)
        pool = _Pool(rng)
        pages = path.stat().st_size // PAGE_BYTES
        self._times = path.stat()
        self._corpus.spoil()
        fresh = []
        with open(path, "r+b", buffering=0) as file:
            for number in sorted(rng.sample(range(pages), max(int(pages * CHANGED_SHARE), 1))):
                file.seek(number * PAGE_BYTES)
                self._kept.append((number, file.read(PAGE_BYTES)))
                fresh.append(_page(number, rng, pool))
                file.seek(number * PAGE_BYTES)
                file.write(fresh[-1])
        self.compressed_bytes = len(subprocess.run(["zstd", "-3", "-c"], input=b"".join(fresh), stdout=subprocess.PIPE).stdout)
        return self

    def __exit__(self, *_) -> None:
        with open(self._corpus.database, "r+b", buffering=0) as file:
            for number, page in self._kept:
                file.seek(number * PAGE_BYTES)
                file.write(page)
        _set_times(self._corpus.database, self._times)
        self._corpus.seal()


class BytesInFront:
    """Ten bytes before the first of the largest office file. Context: taken away at the end."""

    def __init__(self, corpus: Corpus):
        self._corpus = corpus

    def __enter__(self):
        path = self._corpus.large
        self._times = path.stat()
        self._content = path.read_bytes()
        self._corpus.spoil()
        path.write_bytes(PREFIX + self._content)
        os.utime(path, (time.time(), time.time()))
        return self

    def __exit__(self, *_) -> None:
        self._corpus.large.write_bytes(self._content)
        _set_times(self._corpus.large, self._times)
        self._corpus.seal()


def _set_times(path: Path, status) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
