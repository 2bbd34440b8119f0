"""Interface of the hardware watchdog."""


class Watchdog:
    def start(self, timeout_s: int) -> int:
        """Arm it; the board resets unless fed within the timeout. Returns the timeout the hardware chose, in seconds."""
        raise NotImplementedError

    def feed(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Disarm (magic close). Does nothing where the hardware cannot be disarmed."""
        raise NotImplementedError
