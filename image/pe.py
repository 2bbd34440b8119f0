"""Appends sections to a PE file: how a UKI is made from systemd-boot's stub (UAPI group, Unified Kernel Image).

Written out because the section addresses must follow the stub's own, whatever its version; reference: Microsoft
"PE Format", section table.
"""

import struct

from image.paths import BuildError

_READ_DATA = 0x40000040  # IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
_SECTION_BYTES = 40


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


def append_sections(stub: bytes, sections: list) -> bytes:
    """`stub` with each (name, data) added as a read-only section. Raises BuildError if the header has no room."""
    (header,) = struct.unpack_from("<I", stub, 0x3C)
    if stub[:2] != b"MZ" or stub[header : header + 4] != b"PE\0\0":
        raise BuildError("the EFI stub is not a PE file: delete build/rootfs")
    (count,) = struct.unpack_from("<H", stub, header + 6)
    (optional_size,) = struct.unpack_from("<H", stub, header + 20)
    optional = header + 24
    memory_align, file_align = struct.unpack_from("<II", stub, optional + 32)
    (headers_size,) = struct.unpack_from("<I", stub, optional + 60)
    table = optional + optional_size
    if table + (count + len(sections)) * _SECTION_BYTES > headers_size:
        raise BuildError("the EFI stub's header has no room for %d sections" % len(sections))
    last = [struct.unpack_from("<II", stub, table + i * _SECTION_BYTES + 8) for i in range(count)]
    address = max(_up(where + size, memory_align) for size, where in last)
    out = bytearray(stub) + bytes(-len(stub) % file_align)
    for i, (name, data) in enumerate(sections):
        raw = _up(len(data), file_align)
        struct.pack_into(
            "<8sIIIIIIHHI",
            out,
            table + (count + i) * _SECTION_BYTES,
            name.encode(),
            len(data),
            address,
            raw,
            len(out),
            0,
            0,
            0,
            0,
            _READ_DATA,
        )
        out += data + bytes(raw - len(data))
        address = _up(address + len(data), memory_align)
    struct.pack_into("<H", out, header + 6, count + len(sections))
    struct.pack_into("<I", out, optional + 56, address)
    return bytes(out)
