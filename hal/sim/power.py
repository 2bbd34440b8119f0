"""The power of a simulated machine: sees every event on its disks and cuts at a chosen one. Used by crash tests.

Two ways to test: cut at event N and start again from what survived, for every N; or let an `observer` fork the devices at
every event and check each fork while the work goes on, which costs no second run.
"""


class PowerCut(BaseException):
    """The machine is off. Not an Exception, so that no handler in the firmware carries on."""


class Power:
    """One supply for every simulated device of a machine.

    `cut_at` is the number of the event at which it goes off (first is 1, 0: never); `observer(name)` is called at every
    event before it takes effect; `events` counts them.
    """

    def __init__(self, cut_at: int = 0, observer=None):
        self.cut_at = cut_at
        self.observer = observer
        self.events = 0
        self.is_on = True

    def event(self, name: str) -> None:
        """Called by a device before it acts, and by a test for events of its own. Raises PowerCut, then for ever."""
        self.check()
        self.events += 1
        if self.observer:
            self.observer(name)
        if self.events == self.cut_at:
            self.is_on = False
            self.check()

    def check(self) -> None:
        """Raises PowerCut when the power is off."""
        if not self.is_on:
            raise PowerCut("at event %d" % self.events)
