"""Writer of the initramfs archive: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format of the kernel).

Sorted, owned by root, dated by the caller: the same input gives the same bytes, and device nodes need no root.
"""

import stat

_FIELDS = ("inode", "mode", "uid", "gid", "links", "mtime", "size", "major", "minor", "rmajor", "rminor", "name_size", "check")


class Archive:
    def __init__(self, mtime: int):
        self._mtime = mtime
        self._entries = {}

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, mode: int, major: int, minor: int) -> None:
        """A character device."""
        self._add(path, stat.S_IFCHR | mode, b"", major, minor)

    def folder(self, path: str) -> None:
        if path and path not in self._entries:
            self._add(path, stat.S_IFDIR | 0o755, b"")

    def _add(self, path: str, mode: int, data: bytes, major: int = 0, minor: int = 0) -> None:
        if "/" in path:
            self.folder(path.rpartition("/")[0])
        self._entries[path] = (mode, data, major, minor)

    def paths(self) -> list:
        return sorted(self._entries)

    def pack(self) -> bytes:
        """The archive. Parents sort before their children, which the kernel needs."""
        parts = [self._record(i + 1, path, *self._entries[path]) for i, path in enumerate(self.paths())]
        parts.append(self._record(0, "TRAILER!!!", 0, b"", 0, 0))
        packed = b"".join(parts)
        return packed + bytes(-len(packed) % 512)

    def _record(self, inode: int, path: str, mode: int, data: bytes, major: int, minor: int) -> bytes:
        name = path.encode() + b"\0"
        fields = dict.fromkeys(_FIELDS, 0)
        fields.update(
            inode=inode, mode=mode, links=1, mtime=self._mtime, size=len(data), rmajor=major, rminor=minor, name_size=len(name)
        )
        head = b"070701" + b"".join(b"%08X" % fields[key] for key in _FIELDS) + name
        return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
