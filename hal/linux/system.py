"""What PID 1 does itself because the image has no shell: mount, spawn, load modules, reboot. Used by `hal.linux.pc`."""

import os
import struct

from hal.errors import BusError, NotReady, Timeout
from hal.linux.libc import O_RDONLY, check, libc, open_file
from hal.loop import now_ms, sleep_ms
from hal.native import Library, address, errno

# posix_spawn and readlink are wanted only here.
_process = Library(
    ("libc.so.6",),
    {
        "posix_spawn": ("i", "pspppp"),
        "posix_spawn_file_actions_init": ("i", "p"),
        "posix_spawn_file_actions_addopen": ("i", "pisiI"),
        "posix_spawn_file_actions_destroy": ("i", "p"),
        "readlink": ("l", "spL"),
    },
)

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME = 2, 4, 8, 1024  # linux/mount.h
_SYS_FINIT_MODULE = 313  # arch/x86/entry/syscalls/syscall_64.tbl
_EEXIST = 17
_WNOHANG = 1
_O_WRONLY_CREAT_TRUNC = 0o1101
_FILE_ACTIONS_BYTES = 128  # sizeof posix_spawn_file_actions_t is 80 (glibc)

_SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC
# (type, where, flags, options, needed)
_KERNEL_FILESYSTEMS = (
    ("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755", True),
    ("proc", "/proc", _SAFE, "", True),
    ("sysfs", "/sys", _SAFE, "", True),
    ("tmpfs", "/run", _SAFE, "mode=0755,size=16m", True),
    ("tmpfs", "/tmp", _SAFE, "mode=0700,size=64m", True),
    ("pstore", "/sys/fs/pstore", _SAFE, "", False),
)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises NotReady (no such device), BusError (not such a filesystem)."""
    check(libc.mount(source, target, kind, flags, options.encode() + b"\0"), "mount %s on %s" % (source, target))


def unmount(target: str) -> None:
    """umount2(2); everything written is durable on return. Raises NotReady while a file is open there."""
    check(libc.umount2(target, 0), "unmount " + target)


def mount_kernel_filesystems() -> None:
    """/dev, /proc, /sys, /run, /tmp. First thing PID 1 does; a second call does nothing."""
    if names("/proc"):
        return
    for kind, target, flags, options, needed in _KERNEL_FILESYSTEMS:
        try:
            mount(kind, target, kind, flags, options)
        except NotReady:
            if needed:
                raise


def is_mounted(target: str) -> bool:
    with open("/proc/self/mounts") as mounts:
        return any([line.split(" ")[1] == target for line in mounts])


def read_text(path: str) -> str:
    """First line of a small file of /sys or /proc, "" if it cannot be read."""
    try:
        with open(path) as source:
            return source.readline().strip()
    except OSError:
        return ""


def names(folder: str) -> list:
    """Sorted names in a folder, [] if it does not exist."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def link_target(path: str) -> str:
    """What a symbolic link points to, "" if it is none."""
    room = bytearray(1024)
    length = _process.readlink(path, room, len(room))
    return bytes(room[:length]).decode() if length > 0 else ""


def insert_module(path: str, parameters: str = "") -> None:
    """Load a .ko; loaded already is fine. Raises NotReady (no such file, no such hardware), BusError."""
    text = parameters.encode() + b"\0"
    handle = open_file(path, O_RDONLY)
    try:
        result = libc.syscall(_SYS_FINIT_MODULE, handle, address(text), 0, 0, 0, 0)
        if result < 0 and errno() != _EEXIST:
            check(result, "load module " + path)
    finally:
        libc.close(handle)


async def spawn(arguments: list, output: str, timeout_ms: int) -> int:
    """Run a program to its end, standard output and error into the file `output`; gives its exit status.

    Raises NotReady (no such program), Timeout (the program is killed), BusError (it died of a signal).
    """
    pid = _start(arguments, output)
    status = bytearray(4)
    deadline = now_ms() + timeout_ms
    while check(libc.waitpid(pid, status, _WNOHANG), "wait for " + arguments[0]) == 0:
        if now_ms() > deadline:
            libc.kill(pid, 9)
            libc.waitpid(pid, status, 0)
            raise Timeout("%s took longer than %d s" % (arguments[0], timeout_ms // 1000))
        await sleep_ms(20)
    code = struct.unpack("<I", status)[0]
    if code & 0x7F:
        raise BusError("%s was killed by signal %d" % (arguments[0], code & 0x7F))
    return code >> 8 & 0xFF


def _start(arguments: list, output: str) -> int:
    texts = [word.encode() + b"\0" for word in arguments]
    argv = struct.pack("<%dQ" % (len(texts) + 1), *([address(text) for text in texts] + [0]))
    actions = bytearray(_FILE_ACTIONS_BYTES)
    pid = bytearray(4)
    _process.posix_spawn_file_actions_init(actions)
    try:
        _process.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0)
        for descriptor in (1, 2):
            _process.posix_spawn_file_actions_addopen(actions, descriptor, output, _O_WRONLY_CREAT_TRUNC, 0o600)
        # posix_spawn gives the error number itself, not through errno.
        code = _process.posix_spawn(pid, arguments[0], actions, None, argv, bytes(8))
    finally:
        _process.posix_spawn_file_actions_destroy(actions)
    if code:
        raise NotReady("start %s: errno %d" % (arguments[0], code))
    return struct.unpack("<I", pid)[0]


# linux/reboot.h, as reboot(3) takes them.
_POWER_OFF = 0x4321FEDC
_RESTART = 0x01234567


def power_off() -> None:
    """Flush every filesystem and switch the box off; returns only if the kernel refused."""
    libc.sync()
    libc.reboot(_POWER_OFF)


def restart() -> None:
    """Flush every filesystem and reset the box."""
    libc.sync()
    libc.reboot(_RESTART)


def remove(path: str) -> None:
    """unlink(2). Raises NotReady, WriteProtected."""
    check(libc.unlink(path), "remove " + path)
