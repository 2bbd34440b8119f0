"""What can go wrong with hardware, split by what a caller does about it.

Every driver raises one of these and nothing else. `sense` is (key, asc, ascq) where a SCSI target said so (SPC-4 4.5).
"""


class HalError(Exception):
    """Any refusal of the hardware. `sense` is (key, asc, ascq) or None."""

    def __init__(self, text: str, sense=None):
        super().__init__(text)
        self.sense = sense


class NotReady(HalError):
    """No medium, becoming ready, no such device: try later or ask for a medium."""


class UnitAttention(HalError):
    """Reset or media change: position and mode are unknown, identify the medium again."""


class MediumError(HalError):
    """This block is unreadable or unwritable; others may be fine."""


class FileMark(HalError):
    """A read or a space over blocks met a filemark; the position is behind it."""


class EarlyWarning(HalError):
    """The write succeeded and the end of the medium is near: finish the file."""


class EndOfMedium(HalError):
    """The write did not fit: nothing more goes onto this medium."""


class BlankCheck(HalError):
    """The read met the end of the recorded data."""


class WriteProtected(HalError):
    """The medium refuses writes."""


class WrongLength(HalError):
    """The block on the medium is not as long as the buffer. `actual` is its length in bytes, or None."""

    def __init__(self, text: str, actual=None, sense=None):
        super().__init__(text, sense)
        self.actual = actual


class Unsupported(HalError):
    """The device does not know this command or field (ILLEGAL REQUEST)."""


class NoSpace(HalError):
    """The device or filesystem below is full."""


class Timeout(HalError):
    """The device did not answer in time; its state is unknown."""


class BusError(HalError):
    """Transport failure: cable, connection, reset, aborted command; the state is unknown."""


class CorruptData(HalError):
    """Data failed its checksum or could not be decoded."""
