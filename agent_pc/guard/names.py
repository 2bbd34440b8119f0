"""What the mount and the agent call each other by. Used by guard.mount and guard.client.

    .bobbin-guard/NONCE/PATH     PATH below the source as it is when it is opened, until it is closed. No listing shows it.

and, on the open file, extended attributes: STATE (read): why it is no longer that, or empty; STAT (read): its stat then; CHANGED + signature in hex (read): RANGE rows of what was
written since that version, absent if not known; SAVED (read): RANGE rows of what was overwritten meanwhile and waits in the spool;
RELEASE (write): a RANGE that the reader has and will not read again; KEEP (write): the contents at this moment have this signature; on the
directory .bobbin-guard: DROP (write): a signature that nobody will ask for.
"""

import struct

DIRECTORY = ".bobbin-guard"
SUBTYPE = "bobbin-guard"  # of the mount: fuse.bobbin-guard
STATE = "user.bobbin.state"
STAT = "user.bobbin.stat"
CHANGED = "user.bobbin.changed."
SAVED = "user.bobbin.saved"
RELEASE = "user.bobbin.release"
KEEP = "user.bobbin.keep"
DROP = "user.bobbin.drop"

STAT_ROW = struct.Struct("<12Q")
STAT_FIELDS = (
    *("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size"),
    *("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blksize", "st_blocks", "st_rdev"),
)
RANGE = struct.Struct("<QQ")
RANGES = 4000  # as many as an extended attribute holds, 64 KiB
