"""The C library: the one table of its functions, and its errors as hal.errors. Used by every driver in hal/linux."""

from hal import errors
from hal.native import Library, errno

libc = Library(
    ("libc.so.6",),
    {
        "open": ("i", "sii"),
        "close": ("i", "i"),
        "read": ("l", "ipL"),
        "write": ("l", "ipL"),
        "pread": ("l", "ipLl"),
        "pwrite": ("l", "ipLl"),
        "lseek": ("l", "ili"),
        "ioctl": ("i", "iLp"),
        "fcntl": ("i", "iil"),
        "fsync": ("i", "i"),
        "fdatasync": ("i", "i"),
        "ftruncate": ("i", "il"),
        "fallocate": ("i", "iill"),
        "syncfs": ("i", "i"),
        "sync": ("v", ""),
        "eventfd": ("i", "Ii"),
        "pipe2": ("i", "pi"),
        "poll": ("i", "pLi"),
        "tcgetattr": ("i", "ip"),
        "tcsetattr": ("i", "iip"),
        "cfmakeraw": ("v", "p"),
        "cfsetspeed": ("i", "pI"),
        "tcflush": ("i", "ii"),
        "isatty": ("i", "i"),
        "clock_settime": ("i", "ip"),
        "setsockopt": ("i", "iiipI"),
        "socket": ("i", "iii"),
        "recv": ("l", "ipLi"),
        "shutdown": ("i", "ii"),
        "getsockname": ("i", "ipp"),
        "prlimit": ("i", "iipp"),
        "mount": ("i", "sssLp"),
        "umount2": ("i", "si"),
        "mkdir": ("i", "sI"),
        "rmdir": ("i", "s"),
        "unlink": ("i", "s"),
        "rename": ("i", "ss"),
        "mknod": ("i", "sIL"),
        "symlink": ("i", "ss"),
        "getpid": ("i", ""),
        "kill": ("i", "ii"),
        "fork": ("i", ""),
        "execv": ("i", "sp"),
        "waitpid": ("i", "ipi"),
        "_exit": ("v", "i"),
        "reboot": ("i", "i"),
        "sethostname": ("i", "sL"),
        "syscall": ("l", "lLLLLLL"),
        "memcpy": ("p", "ppL"),
        "malloc": ("p", "L"),
        "free": ("v", "p"),
        "mmap": ("p", "pLiiil"),
        "munmap": ("i", "pL"),
    },
)

# asm-generic/fcntl.h and errno.h as x86-64 has them.
O_RDONLY = 0
O_WRONLY = 1
O_RDWR = 2
O_CREAT = 0o100
O_EXCL = 0o200
O_NOCTTY = 0o400
O_TRUNC = 0o1000
O_NONBLOCK = 0o4000
O_DIRECT = 0o40000
O_CLOEXEC = 0o2000000

F_GETFL = 3
F_SETFL = 4

EPERM = 1
ENOENT = 2
EINTR = 4
EIO = 5
ENXIO = 6
EAGAIN = 11
ENOMEM = 12
EACCES = 13
EBUSY = 16
ENODEV = 19
EINVAL = 22
ENFILE = 23
EMFILE = 24
ENOTTY = 25
ENOSPC = 28
EROFS = 30
EDOM = 33
ENOSYS = 38
ENODATA = 61
ENOLINK = 67
EILSEQ = 84
EOPNOTSUPP = 95
EADDRINUSE = 98
ETIMEDOUT = 110
EINPROGRESS = 115
EREMOTEIO = 121
ENOMEDIUM = 123
EDQUOT = 122

# The block layer's meanings are those of blk_errors in the kernel's block/blk-core.c.
_KINDS = {
    ENOENT: errors.NotReady,
    ENXIO: errors.NotReady,
    ENODEV: errors.NotReady,
    ENOMEDIUM: errors.NotReady,
    EBUSY: errors.NotReady,
    EIO: errors.MediumError,
    ENODATA: errors.MediumError,
    EILSEQ: errors.MediumError,
    ENOSPC: errors.NoSpace,
    EDQUOT: errors.NoSpace,
    EROFS: errors.WriteProtected,
    EACCES: errors.WriteProtected,
    EPERM: errors.WriteProtected,
    ETIMEDOUT: errors.Timeout,
    ENOTTY: errors.Unsupported,
    ENOSYS: errors.Unsupported,
    EOPNOTSUPP: errors.Unsupported,
}


def failure(what: str, code: int):
    """The hal.errors exception for errno `code`; `what` names the thing and the action."""
    return _KINDS.get(code, errors.BusError)("%s: errno %d" % (what, code))


def check(result: int, what: str) -> int:
    """`result` of a C call unless it is negative. Raises the hal.errors exception of errno."""
    if result < 0:
        raise failure(what, errno())
    return result


def open_file(path: str, flags: int, mode: int = 0o600) -> int:
    """Descriptor of `path`, closed on exec. Raises NotReady, WriteProtected, BusError."""
    return check(libc.open(path, flags | O_CLOEXEC, mode), "open " + path)
