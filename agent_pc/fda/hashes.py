"""Chunk sums of large files as they were backed up last, in full, on this PC: with them a file object that reuses most of an old one
still gets the exact signature, which the appliance verifies against what it holds. Used by fda.accelerator and fda.difference.

A file `<signature>` in the state directory: SUMs (36 bytes a chunk), extents, tail. It proves itself: its parts give the signature
that is its name, or it is not used. 36 bytes a chunk are 4.5 MiB for a file of 1 GiB.
"""

import os
import struct

from agent_pc.bdm import contents
from agent_pc.bdm.sums import Sums
from firmware.formats import pack

SUM_BYTES = pack.SUM.size
_EXTENT = struct.Struct("<QQ")  # offset, length
_TAIL = struct.Struct("<QIIII8s")  # size, chunk bytes, extents, chunks, age, magic
_NAME_CHARS = 64
_MAGIC = b"BobbinSs"
_READ_ROWS = 4096


class Held:
    """Sums of one version. `extents` [(offset, length, first chunk)]; `age`: accelerated backups since it was read in full."""

    def __init__(self, file, size: int, chunk_bytes: int, extents: list, chunks: int, age: int):
        self._file = file
        self.size = size
        self.chunk_bytes = chunk_bytes
        self.extents = extents
        self.chunks = chunks
        self.age = age

    def sums(self, first: int, count: int) -> bytes:
        """Of chunks first .. first+count-1, one after the other."""
        found = os.pread(self._file.fileno(), count * SUM_BYTES, first * SUM_BYTES)
        if len(found) != count * SUM_BYTES:
            raise OSError(0, "the file of chunk sums ended early")
        return found

    def parts(self, first: int, count: int):
        """As `sums`, in pieces of bounded length."""
        for at in range(first, first + count, _READ_ROWS):
            yield self.sums(at, min(_READ_ROWS, first + count - at))

    def signature(self) -> bytes:
        signer = contents.Signer()
        for (offset, length, first), end in zip(
            self.extents, [*[row[2] for row in self.extents[1:]], self.chunks], strict=True
        ):
            signer.extent(offset)
            for part in self.parts(first, end - first):
                signer.known(part, 0)
            signer.known(b"", length)
        return signer.digest(self.size)

    def close(self) -> None:
        self._file.close()


class Signer(contents.Signer):
    """A bdm.contents.Signer that keeps what it saw. Close it."""

    def __init__(self, directory: str):
        super().__init__()
        import tempfile  # only now: it takes time to load

        handle, self._name = tempfile.mkstemp(dir=directory)
        self._file = os.fdopen(handle, "wb", 1 << 16)
        self._directory = directory
        self._extents: list = []
        self._chunks = 0
        self.fresh_bytes = 0  # read and hashed

    def extent(self, offset: int) -> None:
        super().extent(offset)
        if not self._extents or sum(self._extents[-1]) != offset:
            self._extents.append([offset, 0])

    def sums(self, sums: Sums) -> None:
        super().sums(sums)
        self.fresh_bytes += sums.length
        self._more(sums.rows, sums.length)

    def known(self, rows: bytes, length: int) -> None:
        super().known(rows, length)
        self._more(rows, length)

    def _more(self, rows: bytes, length: int) -> None:
        self._file.write(rows)
        self._chunks += len(rows) // SUM_BYTES
        if not self._extents:
            self._extents.append([0, 0])
        self._extents[-1][1] += length

    def save(self, signature: bytes, size: int, chunk_bytes: int, age: int) -> None:
        """Keep it under the signature. Raises OSError."""
        rows = [row for row in self._extents if row[1]]
        self._file.write(b"".join([_EXTENT.pack(*row) for row in rows]))
        self._file.write(_TAIL.pack(size, chunk_bytes, len(rows), self._chunks, age, _MAGIC))
        self._file.flush()
        os.replace(self._name, os.path.join(self._directory, signature.hex()))
        self._name = ""

    def close(self) -> None:
        self._file.close()
        if self._name:
            _unlink(self._name)


class Hashes:
    """The directory. `limit_bytes`: beyond it the oldest go."""

    def __init__(self, directory: str, limit_bytes: int = 1 << 30):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.directory = directory
        self._limit = limit_bytes

    def load(self, signature: bytes) -> Held | None:
        """Close it. None if there is none that fits its name."""
        try:
            file = open(os.path.join(self.directory, signature.hex()), "rb")  # noqa: SIM115  closed by Held
        except OSError:
            return None
        try:
            held = _read(file)
            if held.signature() == signature:
                return held
        except (OSError, ValueError, struct.error):
            pass
        file.close()
        return None

    def drop(self, signature: bytes) -> None:
        _unlink(os.path.join(self.directory, signature.hex()))

    def tidy(self) -> None:
        """After a backup: nobody writes here now."""
        rows = []
        for entry in os.scandir(self.directory):
            if len(entry.name) != _NAME_CHARS:
                _unlink(entry.path)  # of a backup that was killed
                continue
            status = entry.stat()
            rows.append((status.st_mtime_ns, status.st_size, entry.path))
        held = sum([size for _, size, _ in rows])
        for _, size, path in sorted(rows):
            if held <= self._limit:
                break
            _unlink(path)
            held -= size


def _read(file) -> Held:
    length = os.fstat(file.fileno()).st_size
    size, chunk_bytes, count, chunks, age, magic = _TAIL.unpack(os.pread(file.fileno(), _TAIL.size, length - _TAIL.size))
    at = chunks * SUM_BYTES
    if magic != _MAGIC or not chunk_bytes or length != at + count * _EXTENT.size + _TAIL.size:
        raise ValueError("no file of chunk sums")
    rows, first = [], 0
    for offset, extent in _EXTENT.iter_unpack(os.pread(file.fileno(), count * _EXTENT.size, at)):
        rows.append((offset, extent, first))
        first += -(-extent // chunk_bytes)
    if first != chunks:
        raise ValueError("extents and chunks do not fit")
    return Held(file, size, chunk_bytes, rows, chunks, age)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
