"""Which mounted filesystems hold files worth keeping. Called by fdm.scan."""

import os

# Made up by the kernel while they are read.
_PSEUDO = frozenset(
    b"proc sysfs devtmpfs devpts cgroup cgroup2 securityfs debugfs tracefs pstore bpf configfs fusectl mqueue hugetlbfs "
    b"binfmt_misc efivarfs rpc_pipefs autofs nsfs selinuxfs".split()
)


def pseudo_devices(path: str = "/proc/self/mountinfo") -> set:
    """st_dev of mounted pseudo filesystems; empty where there is no such list."""
    found = set()
    try:
        with open(path, "rb") as file:
            for line in file:
                fields, _, rest = line.partition(b" - ")
                if rest.split(b" ", 1)[0] in _PSEUDO:
                    major, minor = fields.split(b" ")[2].split(b":")
                    found.add(os.makedev(int(major), int(minor)))
    except (OSError, ValueError, IndexError):
        pass
    return found
