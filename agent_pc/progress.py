"""Progress on stderr: a bar when it is a terminal or when asked for, else nothing. Used by backup and restore."""

import sys

PROGRESS = (
    "--progress",
    {"choices": ("auto", "always", "never"), "default": "auto", "help": "progress bar on stderr (auto: on a terminal)"},
)
_INTERVAL_S = 0.2
_PLAIN_INTERVAL_S = 5  # one line at a time into a file


class Progress:
    """`mode`: "auto", "always" or "never". Counts bytes; any thread may call."""

    def __init__(self, mode: str, what: str):
        terminal = sys.stderr.isatty()
        shown = mode == "always" or (mode == "auto" and terminal)
        self._bar = None
        if shown:
            from tqdm import tqdm  # only now: it takes time to load

            self._bar = tqdm(
                desc=what,
                total=0,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
                file=sys.stderr,
                dynamic_ncols=terminal,
                ascii=not terminal,
                mininterval=_INTERVAL_S if terminal else _PLAIN_INTERVAL_S,
                leave=not terminal,
            )

    def expect(self, size: int) -> None:
        """So many bytes more will be done."""
        if self._bar is not None:
            self._bar.total += size

    def done(self, size: int) -> None:
        if self._bar is not None:
            self._bar.update(size)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Quiet:
    """No progress, for tests and library use."""

    def expect(self, size: int) -> None:
        pass

    def done(self, size: int) -> None:
        pass

    def close(self) -> None:
        pass
