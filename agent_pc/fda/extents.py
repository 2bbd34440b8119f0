"""FIEMAP and FICLONE on Linux: where a file's bytes lie, and a second file that shares them. Called by fda.clones.

Ref: Linux Documentation/filesystems/fiemap.rst, include/uapi/linux/fiemap.h and fs.h; ioctl_ficlone(2).
"""

import fcntl
import struct
from collections.abc import Iterator

from agent_pc.fda.regions import Regions

_FS_IOC_FIEMAP = 0xC020660B
_FICLONE = 0x40049409
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_NOCOW = 0x00800000

_HEAD = struct.Struct("=QQLLLL")  # start, length, flags, mapped extents, extent count, reserved
_EXTENT = struct.Struct("=QQQ2QL3L")  # logical, physical, length, reserved, flags, reserved
_SYNC = 1
_COUNT = 512

LAST = 0x1
UNKNOWN, DELALLOC, ENCODED, ENCRYPTED = 0x2, 0x4, 0x8, 0x80
NOT_ALIGNED, INLINE, TAIL, UNWRITTEN, SHARED = 0x100, 0x200, 0x400, 0x800, 0x2000
# The physical address says nothing certain: not yet chosen, or (btrfs, compressed) the same one for different parts of an extent.
_VAGUE = UNKNOWN | DELALLOC | ENCODED | ENCRYPTED | NOT_ALIGNED | INLINE | TAIL

_HOLE = "hole"  # place of bytes that are zeros
_END = 1 << 63


def clone(source: int, target: int) -> None:
    """Make the empty file `target` share all of `source`. Raises OSError where the filesystem cannot."""
    flags = struct.unpack("=L", fcntl.ioctl(source, _FS_IOC_GETFLAGS, bytes(4)))[0]
    if flags & _NOCOW:  # btrfs shares only between files that are alike in this
        fcntl.ioctl(target, _FS_IOC_SETFLAGS, struct.pack("=L", _NOCOW))
    fcntl.ioctl(target, _FICLONE, source)


def extents(handle: int) -> Iterator[tuple]:
    """Yield (logical, physical, length, flags) in order, everything written out first. Raises OSError."""
    buffer = bytearray(_HEAD.size + _COUNT * _EXTENT.size)
    at = 0
    while True:
        buffer[: _HEAD.size] = _HEAD.pack(at, _END - at, _SYNC, 0, _COUNT, 0)
        fcntl.ioctl(handle, _FS_IOC_FIEMAP, buffer)
        mapped = _HEAD.unpack_from(buffer)[3]
        flags = LAST
        for row in range(mapped):
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(buffer, _HEAD.size + row * _EXTENT.size)
            yield logical, physical, length, flags
            at = logical + length
        if flags & LAST:
            return


def exclusive_bytes(handle: int) -> int:
    """Bytes that would be free if this file went."""
    return sum([length for _, _, length, flags in extents(handle) if not flags & (SHARED | UNWRITTEN)])


def differing(one: int, one_bytes: int, other: int, other_bytes: int) -> Regions:
    """Regions in which two files that do not change may differ: not the same blocks, or beyond the shorter one. Raises OSError."""
    size = min(one_bytes, other_bytes)
    found = Regions()
    ours, theirs = _places(one), _places(other)
    our_end = their_end = at = 0
    while at < size:
        if our_end <= at:
            our_end, our_place = next(ours)
        if their_end <= at:
            their_end, their_place = next(theirs)
        end = min(our_end, their_end)
        if our_place is None or our_place != their_place:
            found.add(at, min(end, size))
        at = end
    found.add(size, max(one_bytes, other_bytes))
    return found


def _places(handle: int):
    """Yield (end, place) from byte 0 to beyond any file: place is physical - logical, _HOLE for zeros, None for nothing certain."""
    at = 0
    for logical, physical, length, flags in extents(handle):
        if logical > at:
            yield logical, _HOLE
        at = logical + length
        if flags & UNWRITTEN:
            yield at, _HOLE
        else:
            yield at, None if flags & _VAGUE else physical - logical
    yield _END, _HOLE
