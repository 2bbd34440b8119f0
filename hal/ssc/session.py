"""One conversation with a tape drive: issues commands, interprets status and sense, waits out long motion. Used by `hal.ssc.drive`.

Ref: SAM-4 5.3 (status codes), SPC-4 4.5, SSC-3 4.2.17 (immediate commands).
"""

from hal import loop
from hal.errors import BusError, NotReady, Unsupported
from hal.ssc import cdb
from hal.ssc import sense as sns

GOOD = 0x00
CHECK_CONDITION = 0x02
BUSY = 0x08
RESERVATION_CONFLICT = 0x18
TASK_SET_FULL = 0x28

_BUSY_LIMIT_MS = 60000
_POLL_FIRST_MS = 5
_POLL_MAX_MS = 500

# A target that swaps a cartridge says "medium not present" a few times before it says anything else (istgt: four).
ABSENT_TRIES = 8

# What one READ met, see `Session.read`.
BLOCK, LONG, MARK, END, BAD = "block", "long", "mark", "end", "bad"


def _met(sense, asked: int, residual: int) -> tuple:
    """(outcome, length) of a READ of `asked` bytes with SILI off; (None, None) for a failure that is not about the block.

    Ref: SSC-3 7.4: with ILI, INFORMATION is the requested length minus the actual one, negative for a longer block.
    """
    if sense is None:
        return (BLOCK, asked - residual)
    if sense and sense.deferred:
        return (None, None)
    if sense is False or sense.key == sns.MEDIUM:
        return (BAD, None)  # istgt sends no sense at all where a block's own header is damaged
    code = (sense.asc, sense.ascq)
    if sense.key == sns.BLANK or (sense.key in sns.BENIGN and code == (0x00, 0x05)):
        return (END, None)
    if sense.key not in sns.BENIGN:
        return (None, None)
    if sense.filemark or code == (0x00, 0x01):
        return (MARK, None)
    if not sense.ili:
        return (BLOCK, asked - residual)
    if sense.info is None:
        return (BLOCK, asked - residual) if residual > 0 else (LONG, None)
    return (BLOCK if sense.info >= 0 else LONG, asked - sense.info)


class Session:
    """Commands to one unit. `lost` is called whenever the drive may have moved, changed its medium or been reset."""

    def __init__(self, transport, lost):
        self._transport = transport
        self._lost = lost
        self._immediate = True  # until the drive refuses IMMED
        self.name = transport.name

    def what(self, command: bytes) -> str:
        return "%s: %s" % (self.name, cdb.COMMANDS[command[0]][0])

    async def run(self, command: bytes, data_out=None, data_in=None, timeout_ms: int = 0) -> tuple:
        """(Sense or None, residual) of a command that ended GOOD or with CHECK CONDITION. Never raises for sense.

        A CHECK CONDITION without sense gives (False, residual). Raises BusError, Timeout, NotReady (reserved, busy).
        """
        timeout_ms = timeout_ms or cdb.COMMANDS[command[0]][1]
        pause_ms, waited_ms = _POLL_FIRST_MS, 0
        while True:
            result = await self._execute(command, data_out, data_in, timeout_ms)
            if waited_ms >= _BUSY_LIMIT_MS or not self._refused(command, result):
                return self._outcome(command, result)
            await loop.sleep_ms(pause_ms)
            waited_ms += pause_ms
            pause_ms = min(2 * pause_ms, _POLL_MAX_MS)

    def _refused(self, command: bytes, result) -> bool:
        """Was it not even begun, because the unit is occupied or still winding? Then the same command may be sent again."""
        if result.status in (BUSY, TASK_SET_FULL):
            return True
        if result.status != CHECK_CONDITION or command[0] == cdb.TEST_UNIT_READY:
            return False
        sense = sns.decode(result.sense)
        return sense is not None and sense.key == sns.NOT_READY and sense.triple in sns.IN_PROGRESS

    async def _execute(self, command: bytes, data_out, data_in, timeout_ms: int):
        try:
            return await self._transport.execute(command, data_out, data_in, timeout_ms)
        except BaseException:
            self._lost()  # also when cancelled: the command may still move the tape
            raise

    def _outcome(self, command: bytes, result) -> tuple:
        if result.status == GOOD:
            return (None, result.residual)
        if result.status == CHECK_CONDITION:
            sense = sns.decode(result.sense)
            if sense is None:
                return (False, result.residual)
            if sense.key == sns.ATTENTION or sense.deferred:
                self._lost()
            return (sense, result.residual)
        self._lost()
        if result.status in (BUSY, TASK_SET_FULL):
            raise NotReady("%s: the drive stayed busy for %d s" % (self.what(command), _BUSY_LIMIT_MS // 1000))
        if result.status == RESERVATION_CONFLICT:
            raise NotReady("%s: another host has reserved the drive" % self.what(command))
        raise BusError("%s: unexpected SCSI status %02x" % (self.what(command), result.status))

    def failure(self, command: bytes, sense):
        """The exception for `sense` as `run` gave it (False: none came)."""
        if not sense:
            return BusError("%s: refused without saying why (no sense data)" % self.what(command))
        return sns.failure(self.what(command), sense)

    async def demand(self, command: bytes, data_out=None, data_in=None) -> int:
        """Run and give the residual. Raises for every CHECK CONDITION but a recovered error."""
        sense, residual = await self.run(command, data_out, data_in)
        if sense is None or (sense and sense.key == sns.RECOVERED and not sense.filemark):
            return residual
        raise self.failure(command, sense)

    async def ask(self, command: bytes, length: int):
        """Data of an inquiry-like command, or None if the drive does not know it. Raises what `demand` raises."""
        data = bytearray(length)
        try:
            await self.demand(command, data_in=data)
        except Unsupported:
            return None
        return data

    async def read(self, buffer) -> tuple:
        """(outcome, length, sense) of reading one block: BLOCK of `length` bytes; LONG, a block longer than the buffer (length
        None where the drive does not say); MARK; END of data; BAD block; or None, and `failure` tells why."""
        sense, residual = await self.run(cdb.read(len(buffer)), data_in=buffer)
        return _met(sense, len(buffer), residual) + (sense,)

    async def start(self, build, *arguments) -> bytes:
        """Issue the motion command `build(immediate, ...)`, without IMMED where the drive refuses that; gives the command.

        It has ended on return only if the drive refused IMMED: see `move`.
        """
        command = build(self._immediate, *arguments)
        sense, _ = await self.run(command)
        if self._immediate and sense and sense.key == sns.ILLEGAL and sense.asc == 0x24:
            command = build(False, *arguments)
            sense, _ = await self.run(command)
            if sense is None:
                self._immediate = False
        if sense is not None and not (sense and sense.key == sns.RECOVERED):
            raise self.failure(command, sense)
        return command

    async def move(self, build, *arguments) -> None:
        """Run a motion command until it has ended. Raises what the sense says."""
        command = await self.start(build, *arguments)
        if self._immediate:
            sense = await self.settle(cdb.COMMANDS[command[0]][1])
            if sense is not None:
                raise self.failure(command, sense)

    async def settle(self, timeout_ms: int, tolerate=lambda sense: False):
        """Poll until no command is in progress: None if the unit is ready, else the Sense that is not `tolerate`d.

        Raises Timeout.
        """
        return await loop.wait_ms(self._poll(tolerate), timeout_ms)

    async def _poll(self, tolerate):
        pause_ms = _POLL_FIRST_MS
        while True:
            sense, _ = await self.run(cdb.test_unit_ready())
            if sense is None:
                return None
            if not sense or (sense.triple not in sns.IN_PROGRESS and not tolerate(sense)):
                return sense
            await loop.sleep_ms(pause_ms)
            pause_ms = min(2 * pause_ms, _POLL_MAX_MS)
