"""Tape driver: `hal.tape.Tape` over any `hal.scsi.ScsiTransport`. Built by the boards, used by `firmware.tape`.

Ref: SSC-3 (T10/1611-D) for the commands, SPC-4 (T10/1731-D) for INQUIRY, mode parameters and sense.
"""

import asyncio

from hal import errors
from hal.ssc import cdb
from hal.ssc import sense as sns
from hal.ssc.position import Position
from hal.ssc.session import ABSENT_TRIES, BAD, BLOCK, END, LONG, MARK, Session
from hal.tape import Tape, TapeStatus

_TAPE_DEVICE = 1  # peripheral device type. Ref: SPC-4 6.4.2
_ATTENTION_TRIES = 8  # unit attentions queue up: reset, medium, mode, microcode
_ABSENT = (sns.NOT_READY, 0x3A)


def _exclusive(method):
    """One command sequence at a time: `show tape` may ask while a copy runs."""

    async def guarded(self, *arguments, **named):
        async with self._lock:
            return await method(self, *arguments, **named)

    return guarded


class _Tolerance:
    """Which answers to TEST UNIT READY to wait out: unit attentions, and a medium that is just coming."""

    def __init__(self, absent: int = 0):
        self._left = {sns.ATTENTION: _ATTENTION_TRIES, sns.NOT_READY: absent}

    def __call__(self, sense) -> bool:
        if sense.key == sns.NOT_READY and sense.asc != _ABSENT[1]:
            return False
        self._left[sense.key] = self._left.get(sense.key, 0) - 1
        return self._left[sense.key] >= 0


class SscTape(Tape):
    """A drive in variable-block, buffered mode. Owns `transport`. `name` is the transport's.

    After MediumError from `read` the position is behind the bad block, found by READ POSITION or set by LOCATE, else by
    rewinding and SPACE; if nothing worked it is unknown, `position` raises UnitAttention, and `rewind` with `locate` goes on.
    """

    def __init__(self, transport):
        self.name = transport.name
        self._transport = transport
        self._session = Session(transport, self._lose)
        self._position = Position(self._session)
        self._lock = asyncio.Lock()
        self._limits = (1, min(transport.max_transfer_bytes, cdb.TRANSFER_MAX))
        self._protected = False
        self._early = False
        self._dirty = False  # blocks were written since the last filemark or synchronise
        self._identity = None
        self._known_status = None

    def _lose(self) -> None:
        self._position.lose()

    # Identity and state

    async def status(self) -> TapeStatus:
        """What the drive says; what it said last while a command sequence is running."""
        if self._lock.locked() and self._known_status:
            return self._known_status
        return await self._status()

    @_exclusive
    async def _status(self) -> TapeStatus:
        if self._identity is None:
            self._identity = await self._identify()
        sense = await self._session.settle(cdb.MINUTE_MS, _Tolerance())
        if sense is None:
            await self._limit()
            self._protected = (await self._mode())[0]
            if not self._position.known:
                await self._position.reported()
        else:
            self._lose()
        self._known_status = self._report(sense is None)
        return self._known_status

    def _report(self, loaded: bool) -> TapeStatus:
        position = self._position
        return TapeStatus(
            loaded, loaded and self._protected, *(self._limits + self._identity), position.can_locate, position.has_position
        )

    async def _identify(self) -> tuple:
        """(vendor, product, revision, serial). Raises NotReady if this is no tape drive."""
        raw = bytearray(cdb.INQUIRY_BYTES)
        await self._session.demand(cdb.inquiry(), data_in=raw)
        kind, vendor, product, revision = cdb.parse_inquiry(raw)
        if kind != _TAPE_DEVICE:
            raise errors.NotReady("%s: SCSI device type %d, expected %d, a tape drive" % (self.name, kind, _TAPE_DEVICE))
        page = await self._session.ask(cdb.inquiry(0x80), cdb.INQUIRY_BYTES)
        return (vendor, product, revision, cdb.parse_serial(page) if page else "")

    async def _limit(self) -> None:
        raw = await self._session.ask(cdb.read_block_limits(), cdb.LIMITS_BYTES)
        if raw is None:
            return
        smallest, largest, granule = cdb.parse_block_limits(raw)
        bound = min(self._transport.max_transfer_bytes, cdb.TRANSFER_MAX, largest or cdb.TRANSFER_MAX)
        self._limits = (max(smallest, 1), bound - bound % granule)

    async def _mode(self) -> tuple:
        raw = await self._session.ask(cdb.mode_sense(), cdb.MODE_BYTES)
        return cdb.parse_mode(raw) if raw else (False, True, 0, 0)

    async def _prepare(self) -> None:
        """Bring a ready drive into variable-block, buffered mode; a reset undoes it."""
        await self._limit()
        self._protected, buffered, density, block_bytes = await self._mode()
        if buffered and block_bytes == 0:
            return
        try:
            await self._session.demand(cdb.mode_select(), data_out=cdb.variable_mode(density))
        except errors.Unsupported:
            if block_bytes:
                raise errors.Unsupported(
                    "%s: the drive has a fixed block length of %d and refuses variable length" % (self.name, block_bytes)
                )

    # Motion

    @_exclusive
    async def load(self) -> None:
        self._lose()
        sense = await self._session.settle(cdb.MINUTE_MS, _Tolerance())
        for retension in (False, True):
            if sense is not None:
                await self._load(retension)
                sense = await self._session.settle(cdb.COMMANDS[cdb.LOAD_UNLOAD][1], _Tolerance(ABSENT_TRIES))
        if sense is not None:
            raise self._session.failure(cdb.load(False), sense)
        await self._begin()

    async def _load(self, retension: bool) -> None:
        """LOAD; a refusal is settled by what TEST UNIT READY says afterwards."""
        try:
            await self._session.start(cdb.load, retension)
        except (errors.NotReady, errors.Unsupported, errors.UnitAttention):
            pass

    @_exclusive
    async def unload(self) -> None:
        await self._synchronise()
        self._lose()
        await self._session.run(cdb.prevent_removal(False))
        for retension in (False, True):
            await self._session.demand(cdb.unload(retension))
            if await self._session.settle(cdb.MINUTE_MS) is not None:
                return
        raise errors.Unsupported("%s: the drive ignores UNLOAD: take the cartridge out by hand" % self.name)

    @_exclusive
    async def prevent_removal(self, prevent: bool) -> None:
        try:
            await self._session.demand(cdb.prevent_removal(prevent))
        except errors.Unsupported:
            pass

    @_exclusive
    async def rewind(self) -> None:
        self._early = False
        if self._position.block is not None:
            return await self._position.rewind()
        sense = await self._session.settle(cdb.MINUTE_MS, _Tolerance())
        if sense is not None:
            raise self._session.failure(cdb.rewind(False), sense)
        await self._begin()

    async def _begin(self) -> None:
        """Of a ready drive with unknown position: its mode, the beginning, and what it can do."""
        self._early = self._dirty = False
        self._position.can_space = True
        await self._prepare()
        await self._position.rewind()
        await self._position.probe()

    @_exclusive
    async def locate(self, block: int) -> None:
        self._position.require()
        self._early = False
        await self._position.to(block)

    @_exclusive
    async def space_filemarks(self, count: int) -> None:
        self._position.require()
        self._early = False
        if count:
            await self._position.filemarks(count)

    @_exclusive
    async def position(self) -> int:
        return await self._position.verify()

    # Data

    @_exclusive
    async def read(self, buffer) -> int:
        self._position.require()
        # Adapters refuse a command for more than they carry, whatever the length of the block.
        buffer = memoryview(buffer)[: self._limits[1]]
        outcome, length, sense = await self._session.read(buffer)
        if outcome == BAD and sense and (sense.asc, sense.ascq) == (0x00, 0x02):
            outcome = await self._read_at_end()
        if outcome in (BLOCK, LONG, MARK):
            self._position.block += 1
        if outcome == BLOCK:
            return length
        raise await self._read_failure(outcome, length, sense, len(buffer))

    async def _read_at_end(self) -> str:
        """istgt refuses a read whose buffer reaches beyond its end of medium, also where only a filemark or the end of data
        follows: ask again with the smallest buffer. A block there stays unreadable: istgt would cut it without a word."""
        block = self._position.block
        await self._position.to(block)
        outcome, _, _ = await self._session.read(bytearray(8))
        if outcome in (MARK, END):
            return outcome
        await self._position.to(block)
        return BAD

    async def _read_failure(self, outcome, length, sense, asked: int):
        what = "%s: block %s" % (self.name, self._position.block)
        triple = sense.triple if sense else None
        if outcome == LONG:
            return errors.WrongLength(
                "%s behind: %s bytes, expected at most %d" % (what, length or "more", asked), length, triple
            )
        if outcome == MARK:
            return errors.FileMark("%s behind: a filemark, expected a block" % what, triple)
        if outcome == END:
            return errors.BlankCheck("%s: the recorded data ends here" % what, triple)
        if outcome == BAD:
            await self._position.past_bad()
            return errors.MediumError("%s is unreadable: %s" % (what, sense or "no sense data"), triple)
        if sense.key != sns.ILLEGAL:
            self._lose()
        return self._session.failure(cdb.read(0), sense)

    @_exclusive
    async def write(self, block) -> bool:
        self._position.require()
        length = len(block)
        if not self._limits[0] <= length <= self._limits[1]:
            raise errors.WrongLength(
                "%s: a block of %d bytes, the drive takes %d to %d" % ((self.name, length) + self._limits), length
            )
        await self._put(cdb.write(length), block, 1)
        if not self._position.known and self._position.block == 1:
            await self._position.calibrate(1)
        self._dirty = True
        return self._early

    @_exclusive
    async def write_filemarks(self, count: int = 1) -> None:
        self._position.require()
        await self._put(cdb.write_filemarks(count), None, count)
        self._dirty = False

    async def _put(self, command: bytes, data, objects: int) -> None:
        """Run a write command and move on by `objects`, or raise. Ref: SSC-3 4.2.5 (early warning)."""
        sense, _ = await self._session.run(command, data_out=data)
        if sense is None or (sense and sense.key in sns.BENIGN and not sense.deferred):
            self._early = self._early or bool(sense and sense.eom)
            self._position.block += objects
            return
        raise await self._put_failure(command, sense)

    async def _put_failure(self, command: bytes, sense):
        failure = self._session.failure(command, sense)
        key = sense.key if sense else None
        at_end = sense and (sense.asc, sense.ascq) == (0x00, 0x02)
        if key == sns.OVERFLOW or (key == sns.MEDIUM and at_end):
            failure = errors.EndOfMedium("%s: the medium is full" % failure, sense.triple)
        if sense and sense.deferred:
            self._lose()
        elif key == sns.OVERFLOW:
            self._position.block = await self._position.verified()  # this block is not on the medium, those before are
        elif key == sns.MEDIUM:
            await self._position.resync()
        elif key not in (sns.PROTECT, sns.ILLEGAL):
            self._lose()
        return failure

    async def _synchronise(self) -> None:
        if self._dirty and self._position.block is not None:
            await self._put(cdb.write_filemarks(0), None, 0)
        self._dirty = False

    async def close(self) -> None:
        await self._transport.close()
