"""What a directory entry keeps besides its stat: extended attributes, ACLs, owner names, link targets. Called by fdm.scan, restore.listing."""

import errno
import grp
import os
import pwd

from agent_pc.fdm import nodes

USER = b"bobbin.user"
GROUP = b"bobbin.group"
OWN = b"bobbin."
_NONE = (errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES, errno.ENOENT)
_VALUE_BYTES = 1 << 16
_NAME_BYTES = 256


class Owners:
    """Names of user and group ids, packed, each looked up once."""

    def __init__(self):
        self._users: dict[int, bytes] = {}
        self._groups: dict[int, bytes] = {}

    def packed(self, status: os.stat_result) -> bytes:
        user, group = self._users.get(status.st_uid), self._groups.get(status.st_gid)
        if user is None:
            user = self._users[status.st_uid] = _named(USER, pwd.getpwuid, status.st_uid)
        if group is None:
            group = self._groups[status.st_gid] = _named(GROUP, grp.getgrgid, status.st_gid)
        return user + group


def _named(key: bytes, look, number: int) -> bytes:
    try:
        return nodes.pack_extra(key, os.fsencode(look(number)[0]))
    except (KeyError, OSError):
        return b""


def attributes(path: bytes) -> tuple:
    """(packed extended attributes, problem text or "")."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        return b"", "" if error.errno in _NONE else f"extended attributes: {error.strerror}"
    out, problem, total = [], "", 0
    for name in sorted(os.fsencode(name) for name in names):
        try:
            value = os.getxattr(path, name, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NONE:
                problem = f"extended attribute {os.fsdecode(name)}: {error.strerror}"
            continue
        total += len(name) + len(value) + 8
        if len(name) > _NAME_BYTES or len(value) > _VALUE_BYTES or total > nodes.EXTRAS_BYTES:
            problem = f"extended attribute {os.fsdecode(name)}: too large to keep"
            continue
        out.append(nodes.pack_extra(name, value))
    return b"".join(out), problem
