"""firmware.console.editor: what a person sees and gets. A small model of a dumb terminal checks what was printed."""

import random

from firmware.console.editor import LINE_CHARS, Editor, History, Keys

_PROMPT = "bobbin> "
_WORDS = [("show", "look"), ("set", "change"), ("shutdown", "off")]


class Screen:
    """A terminal that knows printing characters, CR, LF, BS and BEL."""

    def __init__(self):
        self.rows = [""]
        self.column = 0

    def print(self, text: str) -> None:
        for char in text:
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self.rows.append("")
                self.column = 0
            elif char == "\b":
                self.column -= 1
            elif char != "\a":
                assert " " <= char < "\x7f", repr(char)
                row = self.rows[-1]
                self.rows[-1] = row[: self.column] + char + row[self.column + 1 :]
                self.column += 1
            assert 0 <= self.column < 80


def _complete(before: str):
    start = before.rfind(" ") + 1
    return start, [row for row in _WORDS if row[0].startswith(before[start:])] if start == 0 else [("", "free text")]


def _typed(data: bytes, history=None, secret=False, complete=None):
    editor, screen, keys = Editor(_PROMPT, 79, history, complete, secret), Screen(), Keys()
    screen.print(editor.start())
    for byte in data:
        key = keys.feed(byte)
        if key and not editor.done:
            screen.print(editor.feed(key))
    return editor, screen


def _line(data: bytes) -> str:
    editor, screen = _typed(data)
    assert editor.done
    assert screen.rows[-2].rstrip() == (_PROMPT + editor.line).rstrip(), screen.rows
    return editor.line


def test_plain_line_is_echoed_as_typed():
    editor, screen = _typed(b"show status\r")
    assert editor.line == "show status" and screen.rows == [_PROMPT + "show status", ""]


def test_editing_keys():
    assert _line(b"shpw\x7f\x7fow\r") == "show"
    assert _line(b"how\x01s\r") == "show"
    assert _line(b"how\x01s\x05!\r") == "show!"
    assert _line(b"show xyz\x1b[D\x1b[D\x1b[D\x0b\r") == "show "
    assert _line(b"show xyz\x15a\r") == "a"
    assert _line(b"show xyz abc\x17\x17\r") == "show "
    assert _line(b"ab\x1b[D\x1b[3~c\r") == "ac"
    assert _line(b"ab\x1b[Hc\x1b[Fd\x1b[1~e\x1bOFf\r") == "ecabdf"
    assert _line(b"ab\x1b[D\x04\r") == "a"
    assert _line(b"a\x08\x08\x08b\r") == "b"


def test_line_ends():
    for end in (b"\r", b"\n", b"\r\n", b"\r\0"):
        keys = Keys()
        ends = [key for key in [keys.feed(byte) for byte in b"a" + end + b"b" + end] if key == "enter"]
        assert len(ends) == 2, end


def test_interrupt_and_end_of_file():
    editor, _ = _typed(b"show\x03")
    assert editor.done and editor.line is None and not editor.eof
    editor, _ = _typed(b"\x04")
    assert editor.done and editor.eof


def test_bytes_that_are_no_keys_change_nothing():
    assert _line(b"a\x00\x1b[99;99;99;99Zb\xff\xc3\xa9\x1b[24~c\x1bxd\r") == "abcd"


def test_secret_shows_nothing():
    editor, screen = _typed(b"pass\x7fword\r", secret=True)
    assert editor.line == "pasword" and screen.rows == [_PROMPT, ""]


def test_history():
    history = History()
    for line in ("one", "two", "two", ""):
        history.add(line)
    assert history.lines == ["one", "two"]
    assert _typed(b"\x1b[A\r", history)[0].line == "two"
    assert _typed(b"\x1b[A\x1b[A\x1b[A\r", history)[0].line == "one"
    assert _typed(b"new\x10\x10\x0e\x0e\r", history)[0].line == "new"
    for number in range(500):
        history.add(str(number))
    assert len(history.lines) == 50


def test_line_is_bounded():
    editor, _ = _typed(b"x" * 5000 + b"\r")
    assert len(editor.line) == LINE_CHARS


def test_tab_completes_a_single_word():
    editor, screen = _typed(b"shu\t", complete=_complete)
    assert editor.line == "shutdown " and screen.rows[-1] == _PROMPT + "shutdown "


def test_tab_completes_what_is_common_then_lists():
    editor, screen = _typed(b"s\t", complete=_complete)
    assert editor.line == "s" and any(["show" in row and "shutdown" in row for row in screen.rows])
    assert _typed(b"sh\t", complete=_complete)[0].line == "sh"


def test_tab_in_the_middle_keeps_the_rest():
    editor, _ = _typed(b"shu now\x01\x1b[C\x1b[C\x1b[C\t\r", complete=_complete)
    assert editor.line == "shutdown now"


def test_question_mark_explains_at_any_point_and_keeps_the_line():
    editor, screen = _typed(b"sh?", complete=_complete)
    assert editor.line == "sh" and screen.rows[-1] == _PROMPT + "sh"
    assert any([row.startswith("show ") and "look" in row for row in screen.rows])
    editor, screen = _typed(b"set ?", complete=_complete)
    assert any(["free text" in row for row in screen.rows])
    assert _typed(b'set "a?\r', complete=_complete)[0].line == 'set "a?'
    assert _typed(b"a?\r", secret=True)[0].line == "a?"


def test_erase_and_start_bring_the_line_back():
    editor, screen = _typed(b"show")
    screen.print(editor.erase() + "log line\n" + editor.start())
    assert screen.rows[-2:] == ["log line    ", _PROMPT + "show"]


def test_random_keys_keep_screen_and_line_together():
    seed = 4
    random.seed(seed)
    keys = ["left", "right", "home", "end", "backspace", "delete", "kill_end", "kill_word", "up", "down", "a", "b", " "]
    for _ in range(100):
        history = History()
        history.add("h" * 100)
        editor, screen = Editor(_PROMPT, 79, history), Screen()
        screen.print(editor.start())
        for _ in range(150):
            screen.print(editor.feed(keys[random.getrandbits(8) % len(keys)]))
            shown = screen.rows[-1][len(_PROMPT) :].rstrip()
            assert shown in editor.line, (seed, shown, editor.line)
            if len(editor.line) < 60:
                assert shown == editor.line.rstrip() and screen.column <= len(_PROMPT) + 70
