"""A watchdog that records, for tests."""

from hal.watchdog import Watchdog


class SimWatchdog(Watchdog):
    """`timeout_s` is 0 while disarmed; `feeds` counts. The hardware knows no timeout above `max_s`."""

    def __init__(self, max_s: int = 60):
        self.max_s = max_s
        self.timeout_s = 0
        self.feeds = 0

    def start(self, timeout_s: int) -> int:
        self.timeout_s = min(timeout_s, self.max_s)
        return self.timeout_s

    def feed(self) -> None:
        if self.timeout_s:
            self.feeds += 1

    def stop(self) -> None:
        self.timeout_s = 0
