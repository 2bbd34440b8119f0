"""The little of ELF that the image needs: what a program is linked against, and what a kernel module says of itself."""

import struct
from pathlib import Path

from image.paths import BuildError

_SHT_STRTAB, _SHT_DYNAMIC = 3, 6
_DT_NEEDED = 1


class Elf:
    """A 64-bit little-endian ELF file (System V gABI, chapter 4). Raises BuildError when it is not one."""

    def __init__(self, data: bytes, name: str):
        if data[:6] != b"\x7fELF\x02\x01":
            raise BuildError("%s is not a 64-bit little-endian ELF file" % name)
        self._data = data
        (start,) = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        # name, type, flags, address, offset, size, link
        self._headers = [struct.unpack_from("<IIQQQQI", data, start + i * size) for i in range(count)]
        self._names = self._body(self._headers[names]) if count else b""

    def _body(self, header: tuple) -> bytes:
        return self._data[header[4] : header[4] + header[5]]

    def section(self, name: str) -> bytes:
        """Content of the section, b"" if there is none."""
        for header in self._headers:
            if _text(self._names, header[0]) == name:
                return self._body(header)
        return b""

    def needed(self) -> list:
        """Sonames this file is linked against."""
        found = []
        for header in self._headers:
            if header[1] == _SHT_DYNAMIC:
                strings = self._body(self._headers[header[6]])
                found += [
                    _text(strings, value) for tag, value in struct.iter_unpack("<qQ", self._body(header)) if tag == _DT_NEEDED
                ]
        return found


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode()


def load(path: Path) -> Elf:
    return Elf(path.read_bytes(), path.name)
