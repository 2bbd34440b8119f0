"""Turns values into lines of at most 79 characters for a plain terminal. Used by every console command."""

COLUMNS = 79
_GAP = "  "
_UNITS = (("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("kB", 1000))


def size(count) -> str:
    """Bytes as 12.3 GB (powers of 1000, as disks and tapes are sold)."""
    for unit, factor in _UNITS:
        if count >= factor:
            return "%.1f %s" % (count / factor, unit)
    return "%d B" % count


def duration(seconds: int) -> str:
    """2 d 3 h, 3 h 5 min, 5 min 10 s, 10 s."""
    parts = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    first = 0
    while first < 3 and not parts[first][1]:
        first += 1
    return " ".join(["%d %s" % (number, unit) for unit, number in parts[first : first + 2]])


def cut(text: str, width: int) -> str:
    """At most `width` characters; what was cut shows as ~."""
    return text if len(text) <= width else text[: width - 1] + "~"


def pad(text: str, width: int) -> str:
    return text + " " * (width - len(text))


def wrap(text: str, width: int = COLUMNS) -> list:
    """Lines of whole words; a longer word is broken."""
    lines, line = [], ""
    for word in text.split(" "):
        while len(word) > width:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:width])
            word = word[width:]
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    return lines + [line]


def pairs(rows: list) -> list:
    """Lines of (label, value) rows; long values are wrapped under themselves."""
    width = max([len(label) for label, _ in rows])
    room = COLUMNS - width - len(_GAP)
    lines = []
    for label, value in rows:
        parts = wrap(str(value), room)
        lines.append((pad(label, width) + _GAP + parts[0]).rstrip())
        lines += [" " * width + _GAP + part for part in parts[1:]]
    return lines


def table(heads: tuple, rows: list) -> list:
    """Lines of a table. Numbers stand right, the last column takes what room is left and is wrapped, others are cut."""
    texts = [[str(cell) for cell in row] for row in rows]
    last = len(heads) - 1
    widths = [max([len(head)] + [len(row[i]) for row in texts]) for i, head in enumerate(heads)]
    while last and sum(widths[:last]) + len(_GAP) * last > COLUMNS - 12:
        widest = widths.index(max(widths[:last]))
        widths[widest] -= 1
    widths[last] = min(widths[last], COLUMNS - sum(widths[:last]) - len(_GAP) * last)
    right = [bool(rows) and all([isinstance(row[i], int) for row in rows]) for i in range(last + 1)]
    lines = _row(heads, widths, right)
    for row in texts:
        lines += _row(row, widths, right)
    return lines


def _row(cells, widths: list, right: list) -> list:
    last = len(widths) - 1
    parts = wrap(cells[last], widths[last])
    fixed = [_align(cut(cells[i], widths[i]), widths[i], right[i]) for i in range(last)]
    lines = [_GAP.join(fixed + [_align(parts[0], widths[last], right[last])]).rstrip()]
    indent = sum(widths[:last]) + len(_GAP) * last
    return lines + [" " * indent + part for part in parts[1:]]


def _align(text: str, width: int, right: bool) -> str:
    return " " * (width - len(text)) + text if right else pad(text, width)


def columns(words: list) -> list:
    """Words side by side, in as many columns as fit."""
    if not words:
        return []
    width = max([len(word) for word in words]) + len(_GAP)
    across = max(1, COLUMNS // width)
    return [
        "".join([pad(cut(word, COLUMNS), width) for word in words[i : i + across]]).rstrip()
        for i in range(0, len(words), across)
    ]
