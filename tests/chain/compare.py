"""Compares two trees byte by byte and by metadata; what `build.py run` and the tests trust to say that a restore is exact."""

import filecmp
import os
import stat

_TIMED = (stat.S_ISREG, stat.S_ISDIR)


def differences(expected: str, got: str, limit: int = 20, without=()) -> list:
    """Lines that say what differs, at most `limit`; [] if the trees are equal. `without` names relative paths to leave out.

    Compared: names, types, contents, modes, owners, modification times in ns (files and directories), link targets, device
    numbers, extended attributes and ACLs, which files are hard links of each other, holes (a hole must stay one).
    """
    left, right = _entries(expected), _entries(got)
    found = ["missing: %s" % _show(name) for name in sorted(set(left) - set(right)) if _show(name) not in without]
    found += ["not in the original: %s" % _show(name) for name in sorted(set(right) - set(left)) if _show(name) not in without]
    for name in sorted(set(left) & set(right)):
        if _show(name) not in without:
            found += ["%s: %s" % (_show(name), line) for line in _compare(left[name], right[name])]
        if len(found) >= limit:
            break
    found += _links(left, right)
    return found[:limit]


def _show(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _entries(root: str) -> dict:
    root = os.fsencode(root)
    found = {b".": (root, os.lstat(root))}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = (path, os.lstat(path))
    return found


def _compare(left, right):
    (path, a), (other, b) = left, right
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        yield "expected type %o, got %o" % (stat.S_IFMT(a.st_mode), stat.S_IFMT(b.st_mode))
        return
    if not stat.S_ISLNK(a.st_mode) and stat.S_IMODE(a.st_mode) != stat.S_IMODE(b.st_mode):
        yield "expected mode %o, got %o" % (stat.S_IMODE(a.st_mode), stat.S_IMODE(b.st_mode))
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid):
        yield "expected owner %d:%d, got %d:%d" % (a.st_uid, a.st_gid, b.st_uid, b.st_gid)
    if any(kind(a.st_mode) for kind in _TIMED) and a.st_mtime_ns != b.st_mtime_ns:
        yield "expected time %d ns, got %d" % (a.st_mtime_ns, b.st_mtime_ns)
    if _attributes(path) != _attributes(other):
        yield "extended attributes differ"
    if stat.S_ISREG(a.st_mode):
        yield from _compare_files(path, a, other, b)
    elif stat.S_ISLNK(a.st_mode) and os.readlink(path) != os.readlink(other):
        yield "expected a link to %r, got %r" % (os.readlink(path), os.readlink(other))
    elif (stat.S_ISCHR(a.st_mode) or stat.S_ISBLK(a.st_mode)) and a.st_rdev != b.st_rdev:
        yield "expected device %d, got %d" % (a.st_rdev, b.st_rdev)


def _compare_files(path, a, other, b):
    if a.st_size != b.st_size:
        yield "expected %d bytes, got %d" % (a.st_size, b.st_size)
    elif not filecmp.cmp(path, other, shallow=False):
        yield "contents differ"
    elif a.st_size > 1 << 20 and a.st_blocks * 512 < a.st_size // 2 and b.st_blocks * 512 > a.st_size * 3 // 4:
        yield "the holes were filled: expected %d blocks, got %d" % (a.st_blocks, b.st_blocks)


def _attributes(path) -> dict:
    try:
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def _links(left: dict, right: dict) -> list:
    """Groups of hard links must be the same groups."""
    return [] if _groups(left, right) == _groups(right, left) else ["hard links: the groups of names differ"]


def _groups(tree: dict, other: dict) -> set:
    found = {}
    for name, (_, status) in tree.items():
        if stat.S_ISREG(status.st_mode) and name in other:
            found.setdefault((status.st_dev, status.st_ino), []).append(name)
    return {tuple(sorted(names)) for names in found.values() if len(names) > 1}
