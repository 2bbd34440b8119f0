"""The power of a simulated machine: counts what happens on its disks and cuts at the chosen event. Used by crash tests."""


class PowerCut(BaseException):
    """The machine is off. Not an Exception, so that no handler in the firmware carries on."""


class Power:
    """One supply for every simulated device of a machine. `cut_at` is the number of the event that does not happen
    (first is 1, 0: never); `events` counts those so far, `log` holds their names if `keep_log`."""

    def __init__(self, cut_at: int = 0, keep_log: bool = False):
        self.cut_at = cut_at
        self.events = 0
        self.is_on = True
        self.log = [] if keep_log else None

    def event(self, name: str) -> None:
        """Called by a device before it acts, and by a test for events of its own. Raises PowerCut, then for ever."""
        self.events += 1
        if self.log is not None:
            self.log.append(name)
        if self.events == self.cut_at:
            self.is_on = False
        self.check()

    def check(self) -> None:
        """Raises PowerCut when the power is off."""
        if not self.is_on:
            raise PowerCut("event %d" % self.events)
