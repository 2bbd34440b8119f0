"""Interface of the calendar clock. Monotonic time is `hal.loop.now_ms`."""


class Clock:
    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        raise NotImplementedError

    def set_ns(self, when_ns: int) -> None:
        """Set system and battery-backed clock. Raises Unsupported on boards that may not."""
        raise NotImplementedError
