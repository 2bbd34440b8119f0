"""What the kernel saved of its log when it died, put together again. Used by `hal.linux.pc`.

EFI variables are small: a crash is stored as several files, each with a first line such as "Panic#1 Part3"; part 1 is the
end of the log (fs/pstore/platform.c of the kernel).
"""

FOLDER = "/sys/fs/pstore"
_LIMIT_BYTES = 65536
_TAIL_CHARACTERS = 6000  # the end tells what happened; the beginning is an ordinary boot


def parse_title(line: str):
    """("Panic", 1, 3) of "Panic#1 Part3", or None."""
    reason, _, rest = line.partition("#")
    count, _, part = rest.partition(" Part")
    if not reason or not count.isdigit() or not part.isdigit():
        return None
    return reason, int(count), int(part)


def join(records: list) -> list:
    """[(name, text)] of one entry per crash, from the [(name, text)] of the files."""
    crashes = {}
    for name, text in sorted(records):
        title, _, body = text.partition("\n")
        found = parse_title(title.strip())
        if found:
            reason, count, part = found
            crashes.setdefault("%s %d" % (reason, count), []).append((-part, body))
        else:
            crashes.setdefault(name, []).append((0, text))
    joined = []
    for name in sorted(crashes):
        text = "".join([body for _, body in sorted(crashes[name])])
        joined.append((name, text[-_TAIL_CHARACTERS:]))
    return joined


def read(names: list, folder: str = FOLDER) -> list:
    """[(name, text)] of the files that can be read."""
    found = []
    for name in names:
        try:
            with open("%s/%s" % (folder, name), "rb") as record:
                found.append((name, _text(record.read(_LIMIT_BYTES))))
        except OSError:
            # One that cannot be read must not hide the others.
            pass
    return found


def _text(raw: bytes) -> str:
    """The log is ASCII but for what drivers copied from hardware."""
    return "".join([chr(value) if value == 10 or 32 <= value < 127 else "?" for value in raw])
