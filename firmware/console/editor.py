"""Line editing for a dumb terminal: bytes to keys, keys to an edited line. Used by `firmware.console.session`; does no I/O.

Output uses only printing characters, CR, LF, BS and BEL, so it looks right on anything that shows text.
"""

LINE_CHARS = 512
_HISTORY_LINES = 50

_CONTROL = {
    0x01: "home",
    0x02: "left",
    0x03: "interrupt",
    0x04: "eof",
    0x05: "end",
    0x06: "right",
    0x08: "backspace",
    0x09: "tab",
    0x0A: "enter",
    0x0B: "kill_end",
    0x0C: "refresh",
    0x0D: "enter",
    0x0E: "down",
    0x10: "up",
    0x15: "kill_line",
    0x17: "kill_word",
    0x7F: "backspace",
}
# What follows ESC [ or ESC O (ECMA-48 8.3, and the linux and xterm function keys).
_SEQUENCES = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "7~": "home",
    "3~": "delete",
    "4~": "end",
    "8~": "end",
}
_SEQUENCE_CHARS = 8


class Keys:
    """Decodes bytes into keys: printable characters as themselves, the others by name."""

    def __init__(self):
        self._escape = None  # characters since ESC
        self._after_cr = False

    def feed(self, byte: int):
        """The key that `byte` completes, or None."""
        after_cr, self._after_cr = self._after_cr, byte == 0x0D
        if self._escape is not None:
            return self._sequence(chr(byte))
        if byte == 0x1B:
            self._escape = ""
            return None
        if byte == 0x0A and after_cr:
            return None
        if 0x20 <= byte < 0x7F:
            return chr(byte)
        return _CONTROL.get(byte)

    def _sequence(self, char: str):
        escape = self._escape + char
        if escape in ("[", "O") or (escape[0] in "[O" and char in "0123456789;"):
            self._escape = escape[:_SEQUENCE_CHARS]  # longer ones mean nothing, but their end must be found
            return None
        self._escape = None
        return _SEQUENCES.get(escape[1:])


class History:
    """The lines typed before, newest last; one line only once in a row."""

    def __init__(self):
        self.lines = []

    def add(self, line: str) -> None:
        if line and (not self.lines or self.lines[-1] != line):
            self.lines.append(line)
            del self.lines[:-_HISTORY_LINES]


class Editor:
    """One line being typed. `feed` keys until `done`; `line` is the result, None after ^C, and `eof` tells ^D.

    `complete(before_cursor)` gives (start of the unfinished word, [(word, help)]), word "" meaning free text.
    `secret` shows nothing.
    """

    def __init__(self, prompt: str, width: int = 79, history=None, complete=None, secret: bool = False):
        self.done = False
        self.eof = False
        self.line = ""
        self._prompt = prompt
        self._room = max(16, width - len(prompt) - 1)
        self._history = history.lines + [""] if history else [""]
        self._at = len(self._history) - 1
        self._complete = complete
        self._secret = secret
        self._cursor = 0
        self._left = 0
        self._drawn = 0

    def start(self) -> str:
        """What to show first; also after something else was printed."""
        self._drawn = 0
        return self._redraw()

    def erase(self) -> str:
        """Blanks the line, so that something else can be printed in its place; `start` brings it back."""
        return "\r" + " " * (len(self._prompt) + self._drawn) + "\r"

    def feed(self, key: str) -> str:
        """Take a key; gives what to print."""
        if len(key) > 1:
            return getattr(self, "_key_" + key)()
        if key == "?" and self._complete and self.line[: self._cursor].count('"') % 2 == 0:
            return self._explain()
        if len(self.line) >= LINE_CHARS:
            return "\a"
        self.line = self.line[: self._cursor] + key + self.line[self._cursor :]
        self._cursor += 1
        if self._secret:
            return ""
        if self._cursor == len(self.line) and self._cursor - self._left <= self._room:
            self._drawn += 1
            return key
        return self._redraw()

    def _replace(self, line: str, cursor: int) -> str:
        self.line, self._cursor = line, cursor
        return self._redraw()

    def _redraw(self) -> str:
        if self._secret:
            return "" if self._drawn else self._first_secret()
        if self._cursor < self._left or self._cursor - self._left > self._room:
            self._left = max(0, self._cursor - self._room // 2)
        shown = self.line[self._left : self._left + self._room]
        blank = max(0, self._drawn - len(shown))
        back = blank + len(shown) - (self._cursor - self._left)
        self._drawn = len(shown)
        return "\r" + self._prompt + shown + " " * blank + "\b" * back

    def _first_secret(self) -> str:
        self._drawn = 1
        return "\r" + self._prompt

    def _key_enter(self) -> str:
        self.done = True
        return "\n"

    def _key_interrupt(self) -> str:
        self.done, self.line = True, None
        return "^C\n"

    def _key_eof(self) -> str:
        if self.line:
            return self._key_delete()
        self.done = self.eof = True
        return "\n"

    def _key_refresh(self) -> str:
        return "\n" + self.start()

    def _key_home(self) -> str:
        return self._replace(self.line, 0)

    def _key_end(self) -> str:
        return self._replace(self.line, len(self.line))

    def _key_left(self) -> str:
        return self._replace(self.line, max(0, self._cursor - 1))

    def _key_right(self) -> str:
        return self._replace(self.line, min(len(self.line), self._cursor + 1))

    def _key_backspace(self) -> str:
        if not self._cursor:
            return ""
        return self._replace(self.line[: self._cursor - 1] + self.line[self._cursor :], self._cursor - 1)

    def _key_delete(self) -> str:
        return self._replace(self.line[: self._cursor] + self.line[self._cursor + 1 :], self._cursor)

    def _key_kill_end(self) -> str:
        return self._replace(self.line[: self._cursor], self._cursor)

    def _key_kill_line(self) -> str:
        return self._replace(self.line[self._cursor :], 0)

    def _key_kill_word(self) -> str:
        start = self.line[: self._cursor].rstrip().rfind(" ") + 1
        return self._replace(self.line[:start] + self.line[self._cursor :], start)

    def _key_up(self) -> str:
        return self._recall(self._at - 1)

    def _key_down(self) -> str:
        return self._recall(self._at + 1)

    def _recall(self, at: int) -> str:
        if not 0 <= at < len(self._history):
            return "\a"
        self._history[self._at] = self.line
        self._at = at
        return self._replace(self._history[at], len(self._history[at]))

    def _key_tab(self) -> str:
        if not self._complete:
            return "\a"
        start, found = self._complete(self.line[: self._cursor])
        words = [word for word, _ in found if word]
        if not words:
            return "\a"
        typed = self.line[start : self._cursor]
        grown = words[0] + " " if len(words) == 1 else _common(words)
        if len(grown) > len(typed):
            tail = self.line[self._cursor :]
            if grown[-1] == " " and tail[:1] == " ":
                grown = grown[:-1]
            return self._replace((self.line[:start] + grown + tail)[:LINE_CHARS], min(LINE_CHARS, start + len(grown)))
        return self._list(list(words))

    def _explain(self) -> str:
        found = self._complete(self.line[: self._cursor])[1]
        return self._list(["%-16s  %s" % (word or "...", help_) for word, help_ in found] or ["<Enter>"], 1)

    def _list(self, entries: list, across: int = 4) -> str:
        width = 80 // across - 1
        rows = [entries[i : i + across] for i in range(0, len(entries), across)]
        lines = [" ".join(["%-*s" % (width, entry[:width]) for entry in row]).rstrip() for row in rows]
        return "\n" + "\n".join(lines) + "\n" + self.start()


def _common(words: list) -> str:
    """Longest common beginning."""
    shortest = min([len(word) for word in words])
    for i in range(shortest):
        if any([word[i] != words[0][i] for word in words]):
            return words[0][:i]
    return words[0][:shortest]
