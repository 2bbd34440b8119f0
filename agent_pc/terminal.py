"""Names, paths and problems as the terminal and JSON get them. Used by every command."""

import os
import sys


def printable(name: bytes) -> str:
    """For people and JSON: bytes that are not UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def safe(text: str) -> str:
    """Control characters of a name must not reach the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def path_text(path: bytes) -> str:
    """A path in an error line."""
    return safe(printable(path))


def absolute(path: str) -> bytes:
    return os.path.abspath(os.fsencode(path))


def failed_rows(problems: list) -> list:
    """[(path, text)] for JSON and stderr."""
    return [{"path": path_text(path), "text": text} for path, text in problems]


def complain(failed: list) -> None:
    """One line on stderr for each of `failed_rows`."""
    for row in failed:
        print(f"bobbin: {row['path']}: {row['text']}", file=sys.stderr)
