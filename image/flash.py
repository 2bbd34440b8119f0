"""The verb `flash`: write the flash image to a disk, after showing what that erases; read it back and compare."""

import json
import os
import sys
from pathlib import Path

from image import image
from image.paths import BuildError
from image.paths import run as run_program

NEEDS = ("packages", "venv", "rootfs")

_BLOCK = 1 << 20
_WORD = "ERASE"
_COLUMNS = "NAME,PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,FSTYPE,LABEL,PARTLABEL,MOUNTPOINTS"


def add_arguments(parser) -> None:
    parser.add_argument("device", metavar="DEVICE", help="the whole disk, such as /dev/sdx")
    parser.add_argument("--image", type=Path, help="write this image instead of building one")


def run(arguments) -> int:
    device = Path(arguments.device)
    tree = inspect(device)
    source = arguments.image or Path(image.build()["path"])
    check_room(tree, source)
    show(tree)
    if input("Type %s to write %s to %s: " % (_WORD, source.name, device)) != _WORD:
        print("nothing was written")
        return 1
    # Between the question and the answer something may have been mounted.
    inspect(device)
    write(source, device)
    compare(source, device)
    print("%s now boots Bobbin" % device)
    return 0


def inspect(device: Path) -> dict:
    """What lsblk says of the disk and what is on it. Raises BuildError unless it is a whole disk that nothing uses."""
    if not device.exists():
        raise BuildError("%s does not exist" % device)
    if not device.is_block_device():
        raise BuildError("%s is not a block device: name a whole disk, such as /dev/sdx" % device)
    tree = json.loads(run_program(["lsblk", "--json", "--bytes", "--output", _COLUMNS, device]))["blockdevices"][0]
    if tree["type"] not in ("disk", "loop"):
        raise BuildError("%s is a %s: name the whole disk" % (device, "partition" if tree["type"] == "part" else tree["type"]))
    for node in nodes(tree):
        used = [where for where in node.get("mountpoints") or [] if where]
        if used:
            raise BuildError("%s is in use (%s): unmount it first, or name another disk" % (node["path"], ", ".join(used)))
        if node["type"] in ("crypt", "lvm") or node["type"].startswith("raid"):
            raise BuildError("%s is in use as %s: this looks like a disk of this system" % (node["path"], node["type"]))
    return tree


def nodes(tree: dict) -> list:
    """The disk and everything on it."""
    found = [tree]
    for child in tree.get("children") or []:
        found += nodes(child)
    return found


def check_room(tree: dict, source: Path) -> None:
    """Raises BuildError if the image does not fit."""
    size = source.stat().st_size
    if int(tree["size"]) < size:
        raise BuildError("%s has %d bytes, the image needs %d" % (tree["path"], int(tree["size"]), size))


def show(tree: dict) -> None:
    words = [tree["path"], tree["model"] or "unknown model", tree["serial"] or "", tree["tran"] or "", _size(tree)]
    print("This erases " + " · ".join(word.strip() for word in words if word.strip()))
    for node in nodes(tree)[1:]:
        content = [node[key] for key in ("fstype", "label", "partlabel") if node[key]]
        print("  %s · %s · %s" % (node["path"], _size(node), " · ".join(content) or "no filesystem known"))
    if not tree.get("children"):
        print("  no partitions")


def _size(node: dict) -> str:
    return "%.1f GiB" % (int(node["size"]) / (1 << 30))


def _progress(verb: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print("\r%s %3d %%" % (verb, done * 100 // total), end="\n" if done == total else "", file=sys.stderr, flush=True)


def write(source: Path, device: Path) -> None:
    """All of `source` to the start of `device`, durable on return. Raises BuildError."""
    total = source.stat().st_size
    try:
        # O_EXCL on a block device: refused while the kernel uses it (open(2)).
        handle = os.open(device, os.O_WRONLY | (os.O_EXCL if device.is_block_device() else 0))
        with open(source, "rb") as data, open(handle, "wb", buffering=0) as out:
            for done in range(0, total, _BLOCK):
                block = data.read(_BLOCK)
                if out.write(block) != len(block):
                    raise BuildError("%s took only a part of a block at %d: is it broken?" % (device, done))
                _progress("writing", done + len(block), total)
            os.fsync(out.fileno())
    except OSError as error:
        raise BuildError("cannot write %s: %s" % (device, error.strerror))


def compare(source: Path, device: Path) -> None:
    """Read back from the medium, not from the cache. Raises BuildError at the first difference."""
    total = source.stat().st_size
    with open(source, "rb") as data, open(device, "rb", buffering=0) as back:
        os.posix_fadvise(back.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for done in range(0, total, _BLOCK):
            expected = data.read(_BLOCK)
            if _read(back, len(expected)) != expected:
                raise BuildError("%s differs from the image near byte %d: the medium is bad, use another" % (device, done))
            _progress("comparing", done + len(expected), total)


def _read(source, length: int) -> bytes:
    parts = []
    while length:
        part = source.read(length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
