"""Gives a restored file what its entry says: owner, mode, extended attributes, ACLs, times. Called by agent_pc/restore."""

import errno
import os

from agent_pc.fdm.metadata import OWN
from agent_pc.restore import calls
from firmware.formats import dtf

_ROOT = os.geteuid() == 0
# Only root, or only some filesystems, take these: whoever restores elsewhere knows.
_QUIET = (errno.EPERM, errno.EACCES, errno.ENOTSUP)

# What packed extras hold that is to be set: files of one owner have the same, mostly nothing.
_KNOWN = 64
_known: dict = {}


def apply(handle: int, entry) -> list:
    """Everything, through an open file or directory. Returns texts of what did not work."""
    problems: list = []
    if _ROOT:
        _try(problems, "owner", calls.own, handle, entry.uid, entry.gid)
    if entry.extras_bytes:
        _attributes(problems, handle, entry)
    _try(problems, "mode", calls.allow, handle, entry.mode)  # after owner and ACL, which change it
    _try(problems, "times", calls.date, handle, entry.mtime_ns)
    return problems


def apply_by_name(directory: int, name: bytes, entry) -> list:
    """The same for what cannot be opened: symlinks, devices, fifos, sockets."""
    problems: list = []
    if _ROOT:
        _try(problems, "owner", os.chown, name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    _attributes(problems, b"/proc/self/fd/%d/" % directory + name, entry)
    if entry.type != dtf.SYMLINK:
        _try(problems, "mode", os.chmod, name, entry.mode, dir_fd=directory)
    _try(problems, "times", os.utime, name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)
    return problems


def _attributes(problems: list, where, entry) -> None:
    tail = entry.tail
    wanted = _known.get(tail)
    if wanted is None:
        if len(_known) >= _KNOWN:
            _known.clear()
        wanted = _known[tail] = [(name, value) for name, value in entry.extras() if not name.startswith(OWN)]
    if not wanted:
        return
    options = {} if isinstance(where, int) else {"follow_symlinks": False}
    for name, value in wanted:
        try:
            os.setxattr(where, name, value, **options)
        except (OSError, ValueError) as error:
            code = getattr(error, "errno", 0)
            if _ROOT or code not in _QUIET:
                problems.append(f"attribute {os.fsdecode(name)}: {getattr(error, 'strerror', error)}")


def _try(problems: list, what: str, call, *arguments, **options) -> None:
    try:
        call(*arguments, **options)
    except (OSError, OverflowError) as error:
        problems.append(f"{what}: {getattr(error, 'strerror', error)}")
