"""Where regions come from: the interface. Implemented by fda.clones, agent_pc/guard and fda.ranges; used by fda.accelerator.

A source answers for contents by their signature, not by path: what a backup that was never committed left behind answers for
nothing that is asked.
"""

from agent_pc.fda.regions import Regions


class Moment:
    """The state of one file from which a backup reads it."""

    handle: int  # read from this one; it belongs to the moment

    def changed(self, since: bytes) -> Regions | None:
        """What was written since the contents with signature `since`, or more; None: not known, use SFP."""
        raise NotImplementedError

    def keep(self, signature: bytes) -> None:
        """The contents at this moment had this signature: later moments may be asked for what changed since."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up what is not kept."""
        raise NotImplementedError


class Source:
    """One way in which a platform tells what was written."""

    def moment(self, path: bytes, handle: int) -> Moment | None:
        """Now, for the file at `path` that `handle` (stays the caller's) has open; None: this source does not cover it. No errors."""
        raise NotImplementedError

    def drop(self, signature: bytes) -> None:
        """Nobody will ask for what changed since `signature` any more."""
        raise NotImplementedError

    def tidy(self) -> None:
        """After a backup: give back space that is not worth it."""
