"""The tables of libiscsi (soname 7: Debian 12 has 1.19, Debian 13 has 1.20) and its structures. Used by `hal.linux.iscsi`."""

import struct

from hal.native import Library, at, copy_at

iscsi = Library(
    ("libiscsi.so.7",),
    {
        "iscsi_create_context": ("p", "s"),
        "iscsi_destroy_context": ("i", "p"),
        "iscsi_parse_full_url": ("p", "ps"),
        "iscsi_destroy_url": ("v", "p"),
        "iscsi_set_targetname": ("i", "pp"),
        "iscsi_set_session_type": ("i", "pi"),
        "iscsi_set_initiator_username_pwd": ("i", "ppp"),
        "iscsi_set_noautoreconnect": ("v", "pi"),
        "iscsi_full_connect_async": ("i", "ppipp"),
        "iscsi_logout_async": ("i", "ppp"),
        "iscsi_get_fd": ("i", "p"),
        "iscsi_which_events": ("i", "p"),
        "iscsi_service": ("i", "pi"),
        "iscsi_get_error": ("p", "p"),
        "iscsi_scsi_command_async": ("i", "pipppp"),
        "scsi_create_task": ("p", "ipii"),
        "scsi_free_scsi_task": ("v", "p"),
        "scsi_set_task_private_ptr": ("v", "pp"),
        "scsi_task_add_data_in_buffer": ("i", "pip"),
        "scsi_task_add_data_out_buffer": ("i", "pip"),
    },
)

SESSION_NORMAL = 2
XFER_NONE, XFER_READ, XFER_WRITE = 0, 1, 2

# Results of a command beside the SAM status. Ref: scsi-lowlevel.h, enum scsi_status.
STATUS_CANCELLED = 0x0F000000
STATUS_ERROR = 0x0F000001
STATUS_TIMEOUT = 0x0F000002
UNDERFLOW = 1

# struct iscsi_url: strings of 256 bytes, then the logical unit.
URL_PORTAL, URL_TARGET, URL_USER, URL_PASSWORD, _URL_LUN = 0, 256, 512, 768, 1536

# struct scsi_task up to `sense`, whose size differs between 1.19 and 1.20; behind it are datain, mem and ptr.
_RESIDUAL = 32
_PTR_RANGE = range(80, 113, 8)
_DATAIN_BEFORE_PTR = 24
_SENSE_MAX = 252 + 2

_offset = []


def _datain() -> int:
    """Offset of `datain` in struct scsi_task: found by where the setter puts `ptr`."""
    if not _offset:
        task = iscsi.scsi_create_task(6, bytes(6), XFER_NONE, 0)
        mark = struct.pack("Q", 0x5EED5EED5EED5EED)
        iscsi.scsi_set_task_private_ptr(task, 0x5EED5EED5EED5EED)
        _offset.extend([at - _DATAIN_BEFORE_PTR for at in _PTR_RANGE if copy_at(task + at, 8) == mark])
        iscsi.scsi_free_scsi_task(task)
    return _offset[0]


def text(where: int) -> str:
    """NUL-terminated string that libiscsi owns."""
    if not where:
        return ""
    raw = b""
    while len(raw) < 512 and raw[-1:] != b"\0":
        raw += copy_at(where + len(raw), 1)
    return raw[:-1].decode()


def url_lun(url: int) -> int:
    return struct.unpack("i", copy_at(url + _URL_LUN, 4))[0]


def residual(task: int) -> int:
    """Bytes that were not transferred; 0 for an overflow."""
    kind, count = struct.unpack("i4xQ", copy_at(task + _RESIDUAL, 16))
    return count if kind == UNDERFLOW else 0


def sense(task: int) -> bytes:
    """Raw sense bytes of a task that ended with CHECK CONDITION. They follow a length of two bytes (RFC 7143 11.4.7.2)."""
    size, data = struct.unpack("i4xQ", copy_at(task + _datain(), 16))
    if size <= 2 or not data:
        return b""
    raw = bytes(at(data, min(size, _SENSE_MAX)))
    length = raw[0] << 8 | raw[1]
    return raw[2 : 2 + length]
