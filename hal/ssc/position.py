"""Where the tape stands, and every way of moving it there. Used by `hal.ssc.drive`.

The driver's own count of blocks and filemarks is the truth; READ POSITION is compared with it where it works. What a drive
can do is found out by trying, not from its name: `probe`.

Ref: SSC-3 4.2.9 (logical object location), 7.2 (LOCATE), 7.7 (READ POSITION), 7.12 (SPACE).
"""

from hal.errors import BlankCheck, BusError, HalError, MediumError, UnitAttention, Unsupported, WriteProtected
from hal.ssc import cdb
from hal.ssc import sense as sns
from hal.ssc.session import BAD, BLOCK, END, LONG, MARK

_SCRATCH_BYTES = 4096
# Sense keys after which the drive still knows where it is, on the medium that it had. Ref: SSC-3 4.2.9.
_WELL_DEFINED = sns.BENIGN + (sns.BLANK, sns.MEDIUM)
_PASSED = (BLOCK, LONG, MARK)


class Position:
    """`block` is the address the next command works on, or None while it is unknown.

    `has_position`, `can_locate`, `can_space`: what the drive was found to do; optimistic until `known`.
    `origin`: what the drive's own addresses are ahead of ours. istgt counts the beginning of the tape as a block: 1.
    """

    def __init__(self, transport_session):
        self._session = transport_session
        self._scratch = bytearray(_SCRATCH_BYTES)
        self.block = None
        self.known = False
        self.origin = 0
        self.has_position = True
        self.can_locate = True
        self.can_space = True

    def lose(self) -> None:
        self.block = None

    def require(self) -> None:
        """Raises UnitAttention while the position is unknown."""
        if self.block is None:
            raise UnitAttention(
                "%s: the position is unknown after a reset, an error or a medium change; rewind first" % self._session.name
            )

    async def reported(self):
        """The drive's idea of the position in our addresses, or None where it has none."""
        if not self.has_position:
            return None
        raw = await self._session.ask(cdb.read_position(), cdb.POSITION_BYTES)
        if raw is None:
            self.has_position = False
            return None
        there = cdb.parse_position(raw)
        return None if there is None else max(0, there - self.origin)

    async def resync(self) -> None:
        """After an error that may have moved the tape: believe the drive, or give the position up."""
        self.block = await self.reported() if self.known else None

    async def verified(self):
        """The drive's idea where it has one, else the count."""
        there = await self.reported() if self.known else None
        return self.block if there is None else there

    async def verify(self) -> int:
        """The counted position, compared with the drive's. Raises BusError where they differ."""
        self.require()
        there = await self.reported() if self.known else None
        if there is not None and there != self.block:
            counted, self.block = self.block, None
            raise BusError("%s: the drive stands at block %d, expected %d: something else moved the tape; rewind and read the label"
                           % (self._session.name, there, counted))  # fmt: skip
        return self.block

    async def rewind(self) -> None:
        self.block = None
        await self._session.move(cdb.rewind)
        self.block = 0

    async def probe(self) -> None:
        """At the beginning of a medium, until it has succeeded once: learn what READ POSITION and LOCATE are worth."""
        if self.known:
            return
        outcome, _, sense = await self._session.read(self._scratch)
        if outcome is None:
            raise self._session.failure(cdb.read(0), sense)
        await self.calibrate({END: 0, BAD: None}.get(outcome, 1))
        try:
            await self._session.move(cdb.locate, 0)
        except Unsupported:
            self.can_locate = False
        if outcome == BAD and self.can_locate and self.has_position:
            await self._calibrate_bad()
        await self.rewind()

    async def calibrate(self, moved) -> None:
        """`moved` objects from the beginning (None: unknown, one is unreadable) the drive reports what?"""
        self.origin = 0
        there = await self.reported()
        if there is None:
            # tgt says "unknown" even at the beginning: a drive that does so never knows.
            self.has_position, self.known = False, True
        elif moved is None:
            self.known = False
        elif moved:
            self.origin, self.has_position, self.known = there - moved, there - moved in (0, 1), True
        else:
            # A blank tape: 1 shows an origin, 0 may still come from a drive that always says 0; the first write tells.
            self.origin, self.known = there, there == 1
        if not self.has_position:
            self.origin = 0

    async def _calibrate_bad(self) -> None:
        """The first block is unreadable. Where address 1 is the bad block too, addresses start at 1."""
        await self._session.move(cdb.locate, 1)
        outcome, _, _ = await self._session.read(self._scratch)
        self.origin, self.known = int(outcome == BAD), True

    async def to(self, block: int) -> None:
        """Move before `block`. Raises BlankCheck beyond the end of data, MediumError where it cannot be reached."""
        here = self.block
        try:
            self.block = None
            await self._to(block, here)
            self.block = block
        except (BlankCheck, MediumError):
            await self.resync()
            raise

    async def _to(self, block: int, here) -> None:
        if self.can_locate and block:
            try:
                return await self._locate(block)
            except Unsupported:
                self.can_locate = False
        if here is None or here > block or block == 0:
            await self.rewind()
            here = 0
        try:
            await self._forward(block - here)
        except BlankCheck:
            # tgt reports the end of data also when it ends exactly there, and not how far it came.
            await self.rewind()
            await self._forward(block - 1)
            await self._forward(1, False)

    async def _locate(self, block: int) -> None:
        try:
            await self._session.move(cdb.locate, block + self.origin)
        except BusError as error:
            if error.sense and error.sense[0] == sns.HARDWARE:
                # istgt walks block headers to get there, and calls a damaged one an internal failure.
                raise MediumError("%s (block %d cannot be reached)" % (error, block), error.sense)
            raise

    async def _forward(self, count: int, spacing: bool = True) -> None:
        if spacing and self.can_space:
            try:
                return await self._space(count)
            except (Unsupported, WriteProtected):
                self.can_space = False  # tgt refuses SPACE on a write-protected tape; refused means not moved
        for _ in range(count):
            if await self.step() == END:
                raise BlankCheck("%s: the data ends before the block that was asked for" % self._session.name)

    async def _space(self, count: int) -> None:
        """SPACE over `count` blocks and filemarks. A filemark stops it, the position is then behind that filemark."""
        while count:
            asked = min(count, cdb.SPACE_MAX)
            command = cdb.space(cdb.SPACE_BLOCKS, asked)
            sense, _ = await self._session.run(command)
            if sense is None:
                count -= asked
            elif sense and sense.filemark and sense.info is not None and 0 < sense.info <= asked:
                count -= asked - sense.info + 1
            else:
                raise self._session.failure(command, sense)

    async def step(self) -> str:
        """Read one block or filemark away: its outcome. Raises MediumError only if the drive cannot get past a bad block."""
        outcome, _, sense = await self._session.read(self._scratch)
        if outcome is None:
            raise self._session.failure(cdb.read(0), sense)
        if outcome == BAD:
            raise self._session.failure(cdb.read(0), sense)
        return outcome

    async def past_bad(self) -> None:
        """After a failed read of `block`: stand behind it, whatever the drive did, or give the position up."""
        target, self.block = self.block + 1, None
        try:
            if self.known and await self.reported() == target:
                self.block = target
            else:
                await self.to(target)
        except HalError:
            self.block = None

    async def filemarks(self, count: int) -> None:
        """Space over `count` filemarks. Raises BlankCheck at the end of data and at the beginning of the medium."""
        if not self.known or not self.has_position:
            return await self._count_filemarks(count)
        command = cdb.space(cdb.SPACE_FILEMARKS, count)
        self.block = None
        sense, _ = await self._session.run(command)
        if sense is None or (sense and sense.key in _WELL_DEFINED and not sense.deferred):
            await self.resync()
        if sense is not None:
            raise self._session.failure(command, sense)

    async def _count_filemarks(self, count: int) -> None:
        """Without READ POSITION only reading through tells where a filemark is."""
        if count < 0:
            return await self._count_back(-count)
        while count:
            outcome = await self._count_step()
            if outcome == END:
                raise BlankCheck("%s: the data ends %d filemarks too early" % (self._session.name, count))
            count -= outcome == MARK

    async def _count_step(self) -> str:
        outcome, _, sense = await self._session.read(self._scratch)
        if outcome in _PASSED:
            self.block += 1
        elif outcome == BAD:
            await self.past_bad()
            self.require()
        elif outcome is None:
            self.lose()
            raise self._session.failure(cdb.read(0), sense)
        return outcome

    async def _count_back(self, count: int) -> None:
        end = self.block
        marks = []
        await self.rewind()
        while self.block < end:
            if await self._count_step() == MARK:
                marks.append(self.block - 1)
        if len(marks) < count:
            await self.rewind()
            raise BlankCheck(
                "%s: only %d filemarks lie before block %d, asked for %d" % (self._session.name, len(marks), end, count)
            )
        await self.to(marks[-count])
