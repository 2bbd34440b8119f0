"""firmware.console.text: nothing is wider than the terminal."""

from firmware.console import text

_LONG = "the quick brown fox jumps over the lazy dog " * 4


def test_sizes_and_durations():
    assert text.size(999) == "999 B" and text.size(12300000) == "12.3 MB"
    assert text.duration(0) == "0 s" and text.duration(61) == "1 min 1 s" and text.duration(90000) == "1 d 1 h"


def test_wrap_keeps_every_word_and_breaks_long_ones():
    assert " ".join(text.wrap(_LONG.strip())) == _LONG.strip()
    assert all([len(line) <= 20 for line in text.wrap("x" * 95 + " " + _LONG, 20)])


def test_tables_and_pairs_stay_within_79_columns():
    rows = [("name" * 30, 12345678901234567890, _LONG), ("b", 1, "")]
    for lines in (
        text.table(("client", "bytes", "meaning"), rows),
        text.pairs([("label", _LONG), ("x", "y")]),
        text.columns(["word" * 5] * 9),
    ):
        assert lines and all([len(line) <= text.COLUMNS for line in lines]), lines


def test_numbers_stand_right():
    lines = text.table(("n", "name"), [(5, "a"), (123, "b")])
    assert lines[1:] == ["  5  a", "123  b"]


def test_empty_table():
    assert text.table(("a", "b"), []) == ["a  b"]
