"""The wired LAN interface by ioctl: address, mask, route (netdevice(7)). Used by `hal.linux.pc`."""

import struct

from hal.linux.libc import O_CLOEXEC, check, libc
from hal.linux.system import names, read_text

_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCADDRT = 0x890B
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_IFF_UP = 0x1
_RTF_UP, _RTF_GATEWAY = 0x1, 0x2
_ETHERNET = "1"  # ARPHRD_ETHER
_CLASS = "/sys/class/net"


def interfaces() -> list:
    """Names of the Ethernet interfaces, in the kernel's naming order."""
    return [name for name in names(_CLASS) if read_text("%s/%s/type" % (_CLASS, name)) == _ETHERNET]


def mac(name: str) -> str:
    return read_text("%s/%s/address" % (_CLASS, name))


def has_carrier(name: str) -> bool:
    """Whether a cable with a live other end is plugged in; False while the interface is down."""
    return read_text("%s/%s/carrier" % (_CLASS, name)) == "1"


def packed_address(text: str) -> bytes:
    """Four bytes of a dotted IPv4 address. Raises ValueError."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts):
        raise ValueError("%s is not an IPv4 address: expected four numbers 0 to 255 with dots" % text)
    return bytes([int(part) for part in parts])


def _sockaddr(address: str) -> bytes:
    return struct.pack("<H2x4s8x", _AF_INET, packed_address(address))


def _ioctl(number: int, request: bytearray, what: str) -> None:
    handle = check(libc.socket(_AF_INET, _SOCK_DGRAM | O_CLOEXEC, 0), "socket")
    try:
        check(libc.ioctl(handle, number, request), what)
    finally:
        libc.close(handle)


def _ifreq(name: str, content: bytes) -> bytearray:
    return bytearray(struct.pack("<16s24s", name.encode(), content))


def set_up(name: str) -> None:
    """Bring the interface up; the link needs a second or two after it. Raises NotReady (no such interface)."""
    request = _ifreq(name, b"")
    _ioctl(_SIOCGIFFLAGS, request, "interface " + name)
    flags = struct.unpack("<H", request[16:18])[0] | _IFF_UP
    _ioctl(_SIOCSIFFLAGS, _ifreq(name, struct.pack("<H", flags)), "interface " + name)


def set_address(name: str, address: str, mask: str) -> None:
    """Replace the interface's address. Raises ValueError, NotReady, BusError."""
    _ioctl(_SIOCSIFADDR, _ifreq(name, _sockaddr(address)), "address %s of %s" % (address, name))
    if address != "0.0.0.0":
        _ioctl(_SIOCSIFNETMASK, _ifreq(name, _sockaddr(mask)), "mask %s of %s" % (mask, name))


def _rtentry(gateway: str) -> bytearray:
    """struct rtentry: pad, destination 0.0.0.0, gateway, mask 0.0.0.0, flags (linux/route.h)."""
    anywhere = _sockaddr("0.0.0.0")
    return bytearray(struct.pack("<8x16s16s16sH62x", anywhere, _sockaddr(gateway), anywhere, _RTF_UP | _RTF_GATEWAY))


def set_gateway(gateway: str) -> None:
    """Add the default route; setting an address has removed the old one with its network. Raises ValueError, BusError."""
    _ioctl(_SIOCADDRT, _rtentry(gateway), "route through " + gateway)
