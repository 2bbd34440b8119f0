"""Filesystems that nobody wrote to before, one for each restore. Used by tests/bench/backup.py.

ext4 looks at each inode that was deleted in the last minutes before it gives one away (`recently_deleted` in its inode allocator), so
who restores behind somebody whose files were just removed pays for them. In a new filesystem nothing was ever removed.
"""

import contextlib
import ctypes
import os
import subprocess
from pathlib import Path

from image.paths import SEARCH, BuildError

_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_MAKE = ("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1")
_MOUNT = ("mount", "-o", "loop,noinit_itable")  # no thread of the kernel that writes inode tables meanwhile


def enter() -> None:
    """Mounts of this process and of all that it starts are seen by nobody else, and end with the last of them. Raises BuildError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise BuildError("no mount namespace of its own (%s): run this bench as root" % os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def filesystem(folder: Path, size_bytes: int):
    """The empty directory of a new ext4 with room for `size_bytes`; gone, with its image in `folder`, at the end. Raises BuildError."""
    image, place = folder / "fresh.img", folder / "fresh"
    with contextlib.ExitStack() as stack:
        stack.callback(image.unlink)
        with open(image, "xb") as file:
            file.truncate(size_bytes * 5 // 4 + (1 << 28))
        place.mkdir()
        stack.callback(place.rmdir)
        _program(*_MAKE, str(image))
        _program(*_MOUNT, str(image), str(place))
        stack.callback(_program, "umount", "--lazy", str(place))
        target = place / "back"
        target.mkdir()
        yield target


def _program(*words: str) -> None:
    done = subprocess.run(words, text=True, capture_output=True, env=dict(os.environ, PATH=SEARCH))
    if done.returncode:
        raise BuildError("%s: %s" % (" ".join(words), done.stderr.strip()))
