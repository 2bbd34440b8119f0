"""Interface of a streaming tape drive in variable-block mode (SSC-3). Used by `firmware.tape`."""


class TapeStatus:
    """`loaded`, `write_protected` (bool); `block_min`, `block_max` (bytes); `vendor`, `product`, `revision`, `serial` (str);
    `can_locate`, `has_position` (bool): whether LOCATE and READ POSITION work on this drive."""

    def __init__(
        self, loaded, write_protected, block_min, block_max, vendor, product, revision, serial, can_locate, has_position
    ):
        self.loaded = loaded
        self.write_protected = write_protected
        self.block_min = block_min
        self.block_max = block_max
        self.vendor = vendor
        self.product = product
        self.revision = revision
        self.serial = serial
        self.can_locate = can_locate
        self.has_position = has_position


class Tape:
    """One drive. Block addresses count blocks and filemarks from the beginning of the medium, as LOCATE does.

    After UnitAttention, BusError or Timeout the position is unknown until `rewind`.
    Every method raises NotReady without a medium, UnitAttention after a change, BusError and Timeout.
    """

    name = ""

    async def status(self) -> TapeStatus:
        """Ask the drive; clears a pending unit attention. Raises NotReady only if there is no drive at all."""
        raise NotImplementedError

    async def load(self) -> None:
        """Load and thread the medium, wait until ready (bounded), position at the beginning."""
        raise NotImplementedError

    async def unload(self) -> None:
        """Write buffered data, rewind and eject. Durable on return."""
        raise NotImplementedError

    async def prevent_removal(self, prevent: bool) -> None:
        """Lock the medium into the drive, or let go of it; `unload`, `close` and a reset let go, too. Does nothing on a drive that
        cannot lock."""
        raise NotImplementedError

    async def rewind(self) -> None:
        raise NotImplementedError

    async def locate(self, block: int) -> None:
        """Position before `block`, by LOCATE, or by SPACE or reading where the drive has no LOCATE."""
        raise NotImplementedError

    async def space_filemarks(self, count: int) -> None:
        """Move over `count` filemarks; negative goes back. Raises BlankCheck at the end of data."""
        raise NotImplementedError

    async def position(self) -> int:
        """Block address the next command works on; counted by the driver where the drive cannot tell."""
        raise NotImplementedError

    async def write(self, block) -> bool:
        """Append one block. In the drive's buffer on return: `write_filemarks` makes it durable.

        Returns True once the early-warning point is passed. Raises EndOfMedium (block not written), WriteProtected, MediumError.
        """
        raise NotImplementedError

    async def read(self, buffer) -> int:
        """Read the next block into `buffer`, give its length in bytes.

        Where neither the drive reports wrong length nor the host adapter a residual (istgt behind QEMU), a shorter block seems as
        long as the buffer and a longer one is cut: what a block is must be told by its contents, not by its length.
        Raises FileMark, BlankCheck, MediumError (position is behind the bad block where the drive allows it, see
        `position`), WrongLength (block longer than the buffer; position is behind it).
        """
        raise NotImplementedError

    async def write_filemarks(self, count: int = 1) -> None:
        """Write filemarks; all blocks before are on the medium on return (IMMED is 0). count 0 only synchronises."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
