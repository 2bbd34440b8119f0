"""The directory tree file (DTF): a persistent tree of nodes. An item of kind NODES is one node.

    node := NODE, count x REF, count x (ENTRY, name, target, extras)       a LIST: entries of a directory, by name in byte order
    node := NODE, count x REF, count x (u16 length, first name)            an INDEX: parts of one large directory, in order

An attic is a tree that the appliance writes when it merges views: of every path that is no longer in the view, the last version, below
directories that lead there. Each directory and each deleted entry in it has the extra ATTIC_EXTRA, packed ATTIC.

A backup is taken by its NODE and REF alone: what lies behind belongs to the agent; a merge reads entries, too. References point to items that exist already, so
the children of a node come before it and there can be no cycle. A directory's reference is the node that lists it.
"""

from firmware.formats.record import Bytes, Record

LIST = 0
INDEX = 1

# REF.kind
NOTHING = 0  # the entry has no contents: symlink, device, empty file
FILE = 1  # (group, index) is a file object
NODE_REF = 2  # (group, index) is a node

NODE = Record("dtf.NODE", (("kind", "B"), ("count", "I")), "Opens a node.")

REF = Record("dtf.REF", (("kind", "B"), ("group", "I"), ("index", "I")), "What an entry's contents are.")

# ENTRY.type
REGULAR, DIRECTORY, SYMLINK, FIFO, CHARACTER, BLOCK, SOCKET = range(7)

# ENTRY.flags
HARD_LINK = 1  # other entries of the same (device, inode) are the same file
TRUNCATED = 2  # the file shrank while it was read; contents are what could be read
DELETED = 0x80  # only in an attic: the entry was deleted, with all below it

# ENTRY.label: how the contents were protected while they were read
UNGUARDED, QUIESCED, SNAPSHOT = range(3)

ENTRY = Record(
    "dtf.ENTRY",
    (
        ("type", "B"),
        ("flags", "B"),
        ("label", "B"),
        ("mode", "H"),
        ("uid", "I"),
        ("gid", "I"),
        ("mtime_ns", "q"),
        ("ctime_ns", "q"),
        ("device", "Q"),
        ("inode", "Q"),
        ("size", "Q"),
        ("name_bytes", "H"),
        ("target_bytes", "H"),
        ("extras_bytes", "I"),
    ),
    "One directory entry. mode: permission bits. size: of a regular file in bytes; of a device node, its rdev. "
    "name: one path component, any bytes but 0 and '/'. target: where a symlink points. extras: EXTRA after EXTRA.",
)

EXTRA = Record(
    "dtf.EXTRA",
    (("name", Bytes(256)), ("value", Bytes(1 << 16))),
    "An extended attribute (ACLs are system.posix_acl_access and _default), or bobbin.user and bobbin.group: the owner's names.",
)

ATTIC_EXTRA = b"bobbin.deleted"

ATTIC = Record(
    "dtf.ATTIC",
    (("deleted_ns", "q"), ("oldest_ns", "q")),
    "deleted_ns: when it was first missing; 0: as the directory above it, or, in one that still exists, a directory that does, too. oldest_ns: the earliest deletion at or below it.",
)
