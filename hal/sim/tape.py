"""A simulated SSC tape drive as a SCSI target: profiles of good and poor drives, scripted faults. Used by tests.

Ref: SSC-3 clause 7; the profiles repeat what istgt 0.4, the same behind QEMU's iSCSI driver, and tgt 1.0.85 were observed to do.
"""

import struct

from hal import loop
from hal.errors import BusError, NotReady
from hal.scsi import ScsiResult, ScsiTransport
from hal.sim.cartridge import MARK
from hal.ssc import cdb
from hal.ssc import sense as sns

GOOD = 0x00
CHECK_CONDITION = 0x02


class Profile:
    """What a drive can do. `position` is "true", "zero" (always 0) or None (unsupported); `origin` is what its addresses begin at.

    `locate`: LOCATE works. `immediate`: IMMED is accepted. `ili`: wrong length is reported. `stops`: SPACE over blocks stops at
    a filemark. `skips`: a medium error on read leaves the position behind the block. `descriptor`: descriptor sense.
    `residuals`: the transport tells how much of the buffer was not filled. `spaces_protected`: SPACE works on a write-protected
    medium. `polls`: TEST UNIT READY says "in progress" so often after motion.
    """

    DEFAULTS = {
        "vendor": "BOBBIN", "product": "SIMULATED TAPE", "revision": "1.00", "serial": "SIM00001", "position": "true", "origin": 0,
        "locate": True, "immediate": True, "ili": True, "stops": True, "skips": True, "descriptor": False, "spaces_protected": True,
        "polls": 2, "max_block": 1 << 23, "min_block": 1, "residuals": True, "locks": True,
    }  # fmt: skip

    def __init__(self, **traits):
        for name in self.DEFAULTS:
            setattr(self, name, traits.get(name, self.DEFAULTS[name]))


PROFILES = {
    "lto": Profile(),
    "descriptor": Profile(descriptor=True, skips=False),
    "plain": Profile(position=None, locate=False, immediate=False),  # SPACE is all it has
    "istgt": Profile(vendor="QUANTUM", product="DLT8000", origin=1, ili=False, stops=False, skips=False, polls=0),
    "istgt_qemu": Profile(vendor="QUANTUM", product="DLT8000", origin=1, ili=False, stops=False, skips=False, polls=0, residuals=False),
    "tgt": Profile(vendor="IET", product="VIRTUAL-TAPE", position="zero", locate=False, stops=False, skips=False,
                   spaces_protected=False, polls=0, locks=False),
}  # fmt: skip


class Fault:
    """The `after`-th next command with `opcode` (None: any) meets `sense` (key, asc, ascq) or raises `error`.

    `executed`: it happens after the command was carried out, as when a connection drops before the status arrives.
    `repeat`: how many commands in a row.
    """

    def __init__(self, opcode, sense=None, error=None, after: int = 1, executed: bool = False, repeat: int = 1):
        self.opcode = opcode
        self.sense = sense
        self.error = error
        self.after = after
        self.executed = executed
        self.repeat = repeat

    def strikes(self, opcode: int) -> bool:
        if self.repeat == 0 or self.opcode not in (None, opcode):
            return False
        self.after -= 1
        if self.after > 0:
            return False
        self.repeat -= 1
        return True


class _Check(Exception):
    """CHECK CONDITION with this sense; `residual` of the data phase."""

    def __init__(self, key, asc, ascq, info=None, flags=0, residual=0):
        super().__init__()
        self.triple = (key, asc, ascq)
        self.info = info
        self.flags = flags
        self.residual = residual


_FILEMARK, _EOM, _ILI = 0x80, 0x40, 0x20


class SimTapeDrive(ScsiTransport):
    """`cartridge` (or None) in a drive of `profile`. `commands` logs the opcodes received.

    `carries_bytes`: a command with more data is refused, as a target with a small adapter behind it does, which the initiator
    cannot know. `attention(asc, ascq)` queues a unit attention, `becoming_ready` is how many commands still find it not ready.
    """

    def __init__(self, cartridge=None, profile=None, name: str = "sim:tape", max_transfer_bytes: int = 1 << 20):
        self.name = name
        self.max_transfer_bytes = max_transfer_bytes
        self.carries_bytes = max_transfer_bytes
        self.profile = profile or PROFILES["lto"]
        self.cartridge = cartridge
        self.loaded = cartridge is not None
        self.becoming_ready = 0
        self.commands = []
        self.faults = []
        self.block_length = 0
        self.locked = False
        self._attentions = []
        self._at = 0
        self._started = False  # moved away from the beginning since rewind, see Profile.origin
        self._moving = 0
        self._gone = False

    # What a test does to the drive

    def attention(self, asc: int, ascq: int) -> None:
        self._attentions.append((sns.ATTENTION, asc, ascq))

    def reset(self) -> None:
        """Power on or reset: beginning of the medium, default mode."""
        self._rewound()
        self.block_length = 0
        self.locked = False
        self.attention(0x29, 0x00)

    def insert(self, cartridge, announced: bool = True) -> None:
        """Change the cartridge (None: take it out), with a unit attention if `announced`."""
        self.cartridge = cartridge
        self.loaded = cartridge is not None
        self._rewound()
        if cartridge is not None and announced:
            self.attention(0x28, 0x00)

    def pull(self) -> bool:
        """What a person does with the button at the drive; whether the cartridge came out."""
        if not self.locked:
            self.insert(None)
        return not self.locked

    def fault(self, opcode, **what) -> None:
        self.faults.append(Fault(opcode, **what))

    def drop(self) -> None:
        """Every command from now on finds the connection gone."""
        self._gone = True

    def _rewound(self) -> None:
        self._at = 0
        self._started = False

    # Transport

    async def execute(self, command: bytes, data_out=None, data_in=None, timeout_ms: int = 30000) -> ScsiResult:
        await loop.sleep_ms(0)
        if self._gone:
            raise BusError("%s: the connection is gone" % self.name)
        opcode = command[0]
        self.commands.append(opcode)
        fault = self._fault(opcode)
        if fault and not fault.executed:
            return self._strike(fault)
        result = self._perform(command, data_out, data_in)
        return self._strike(fault) if fault else result

    async def close(self) -> None:
        self._gone = True
        self.locked = False

    def _fault(self, opcode: int):
        for fault in self.faults:
            if fault.strikes(opcode):
                return fault
        return None

    def _strike(self, fault) -> ScsiResult:
        if fault.error:
            raise fault.error("%s: scripted fault" % self.name)
        return ScsiResult(CHECK_CONDITION, self._sense(_Check(*fault.sense)), 0)

    def _perform(self, command: bytes, data_out, data_in) -> ScsiResult:
        handler = _HANDLERS.get(command[0])
        length = len(data_in) if data_in is not None else 0
        try:
            if max(length, len(data_out or b"")) > self.carries_bytes:
                raise _Check(sns.NOT_READY, 0x08, 0x00)
            if handler is None:
                raise _Check(sns.ILLEGAL, 0x20, 0x00)
            if command[0] != cdb.INQUIRY:
                self._check_ready(command[0])
            done = handler(self, command, data_out if data_out is not None else data_in)
            return ScsiResult(GOOD, b"", length - (done or 0) if self.profile.residuals else 0)
        except _Check as check:
            return ScsiResult(CHECK_CONDITION, self._sense(check), check.residual)

    def _check_ready(self, opcode: int) -> None:
        if self._attentions:
            raise _Check(*self._attentions.pop(0))
        if self.becoming_ready:
            self.becoming_ready -= 1
            raise _Check(sns.NOT_READY, 0x04, 0x01)
        if self._moving and opcode == cdb.TEST_UNIT_READY:
            self._moving -= 1
            raise _Check(sns.NOT_READY, 0x04, 0x07)
        if opcode != cdb.LOAD_UNLOAD and not self.loaded:
            raise _Check(sns.NOT_READY, 0x3A, 0x00)

    def _sense(self, check) -> bytes:
        key, asc, ascq = check.triple
        if not self.profile.descriptor:
            valid = 0x80 if check.info is not None else 0
            info = (check.info or 0) & 0xFFFFFFFF
            return struct.pack(">BBBIB4sBB4s", 0x70 | valid, 0, key | check.flags, info, 10, bytes(4), asc, ascq, bytes(4))
        parts = struct.pack(">BBBB", 4, 2, 0, check.flags)
        if check.info is not None:
            parts = struct.pack(">BBBBII", 0, 10, 0x80, 0, 0xFFFFFFFF if check.info < 0 else 0, check.info & 0xFFFFFFFF) + parts
        return bytes((0x72, key, asc, ascq, 0, 0, 0, len(parts))) + parts

    # Commands; each gives the number of bytes it put into `data`

    def _give(self, data, raw: bytes) -> int:
        count = min(len(raw), len(data))
        data[:count] = raw[:count]
        return count

    def _inquiry(self, command, data) -> int:
        profile = self.profile
        if command[1] & 1:
            if command[2] != 0x80:
                raise _Check(sns.ILLEGAL, 0x24, 0x00)
            return self._give(data, bytes((1, 0x80, 0, len(profile.serial))) + profile.serial.encode())
        texts = "%-8s%-16s%-4s" % (profile.vendor, profile.product, profile.revision)
        standard = bytes((1, 0x80, 5, 2, 91, 0, 0, 0)) + texts.encode() + bytes(60)
        return self._give(data, standard[: command[4]])

    def _test_unit_ready(self, command, data) -> None:
        pass

    def _limits(self, command, data) -> int:
        return self._give(
            data, struct.pack(">BBHH", 0, self.profile.max_block >> 16, self.profile.max_block & 0xFFFF, self.profile.min_block)
        )

    def _mode_sense(self, command, data) -> int:
        specific = 0x80 if self.cartridge.write_protected else 0
        return self._give(data, bytes((11, 0, specific | 0x10, 8, 0x46, 0, 0, 0, 0)) + struct.pack(">I", self.block_length)[1:])

    def _mode_select(self, command, data) -> None:
        if len(data) < 12 or data[3] != 8:
            raise _Check(sns.ILLEGAL, 0x26, 0x00)
        self.block_length = struct.unpack(">I", bytes(data[8:12]))[0] & 0xFFFFFF

    def _motion(self, command) -> None:
        if command[1] & 1:
            if not self.profile.immediate:
                raise _Check(sns.ILLEGAL, 0x24, 0x00)
            self._moving = self.profile.polls

    def _rewind(self, command, data) -> None:
        self._motion(command)
        self._rewound()

    def _load_unload(self, command, data) -> None:
        self._motion(command)
        self._rewound()
        if not command[4] & 1 and self.locked:
            raise _Check(sns.ILLEGAL, 0x53, 0x02)
        if command[4] & 1 and self.cartridge is None:
            raise _Check(sns.NOT_READY, 0x3A, 0x00)
        if command[4] & 1 and not self.loaded:
            self.attention(0x28, 0x00)
        self.loaded = bool(command[4] & 1)

    def _prevent(self, command, data) -> None:
        if not self.profile.locks:
            raise _Check(sns.ILLEGAL, 0x20, 0x00)
        self.locked = bool(command[4] & 3)

    def _locate(self, command, data) -> None:
        if not self.profile.locate:
            raise _Check(sns.ILLEGAL, 0x20, 0x00)
        self._motion(command)
        block = max(0, struct.unpack(">I", command[3:7])[0] - self.profile.origin)
        if block > len(self.cartridge.objects):
            self._at = len(self.cartridge.objects)
            raise _Check(sns.BLANK, 0x00, 0x05)
        self._at = block
        self._started = block > 0 or command[3:7] != bytes(4)

    def _read_position(self, command, data) -> int:
        if self.profile.position is None:
            raise _Check(sns.ILLEGAL, 0x20, 0x00)
        here = self._at + (self.profile.origin if self._started else 0)
        here = 0 if self.profile.position == "zero" else here
        return self._give(data, struct.pack(">BBHII", 0 if here else 0x80, 0, 0, here, here) + bytes(8))

    def _space(self, command, data) -> None:
        if self.cartridge.write_protected and not self.profile.spaces_protected:
            raise _Check(sns.PROTECT, 0x27, 0x00)
        count = struct.unpack(">I", bytes((0xFF if command[2] & 0x80 else 0,)) + command[2:5])[0]
        count = count - (1 << 32) if count >> 31 else count
        kind = command[1] & 0x0F
        if kind not in (cdb.SPACE_BLOCKS, cdb.SPACE_FILEMARKS):
            raise _Check(sns.ILLEGAL, 0x24, 0x00)
        self._space_over(kind, count)

    def _space_over(self, kind: int, count: int) -> None:
        step = 1 if count > 0 else -1
        left = abs(count)
        while left:
            is_mark = self._pass(step, left)
            if kind == cdb.SPACE_FILEMARKS:
                left -= is_mark
            elif is_mark and self.profile.stops:
                raise _Check(sns.NO_SENSE, 0x00, 0x01, left, _FILEMARK)
            else:
                left -= 1

    def _pass(self, step: int, left: int) -> bool:
        """Move over one object; was it a filemark?"""
        objects = self.cartridge.objects
        at = self._at if step > 0 else self._at - 1
        if at < 0:
            raise _Check(sns.NO_SENSE, 0x00, 0x04, left, _EOM)
        if at >= len(objects):
            raise _Check(sns.BLANK, 0x00, 0x05, left)
        self._at += step
        self._started = True
        return objects[at] is MARK

    def _write(self, command, data) -> None:
        self._record(data, len(data))

    def _write_filemarks(self, command, data) -> None:
        count = command[2] << 16 | command[3] << 8 | command[4]
        if count and self.cartridge.write_protected:
            raise _Check(sns.PROTECT, 0x27, 0x00)
        for _ in range(count):
            self._record(MARK, 0)

    def _record(self, block, length: int) -> None:
        """Ref: SSC-3 4.2.5: behind early warning a write succeeds and says so; what does not fit is a volume overflow."""
        tape = self.cartridge
        if tape.write_protected:
            raise _Check(sns.PROTECT, 0x27, 0x00)
        if tape.worm and self._at < len(tape.objects):
            raise _Check(sns.PROTECT, 0x30, 0x0C)
        used = tape.used_bytes(self._at) + length
        if tape.capacity_bytes and used > tape.capacity_bytes:
            raise _Check(sns.OVERFLOW, 0x00, 0x02, length, _EOM)
        if self._at in tape.bad_write:
            raise _Check(sns.MEDIUM, 0x0C, 0x00, length)
        tape.put(self._at, block)
        self._at += 1
        self._started = True
        if tape.capacity_bytes and used > tape.capacity_bytes - tape.early_bytes:
            raise _Check(sns.NO_SENSE, 0x00, 0x02, 0, _EOM)

    def _read(self, command, data) -> int:
        asked = len(data)
        if command[1] or asked != command[2] << 16 | command[3] << 8 | command[4]:
            raise _Check(sns.ILLEGAL, 0x24, 0x00)
        self._started = True
        if self._at >= len(self.cartridge.objects):
            raise _Check(sns.BLANK, 0x00, 0x05, asked, 0, asked)
        if self._at in self.cartridge.bad_read:
            self._at += self.profile.skips
            raise _Check(sns.MEDIUM, 0x11, 0x00, asked, 0, asked)
        block = self.cartridge.objects[self._at]
        self._at += 1
        if block is MARK:
            raise _Check(sns.NO_SENSE, 0x00, 0x01, asked, _FILEMARK, asked)
        count = self._give(data, block)
        if len(block) != asked and self.profile.ili:
            raise _Check(sns.NO_SENSE, 0x00, 0x00, asked - len(block), _ILI, asked - count)
        return count


_HANDLERS = {
    cdb.INQUIRY: SimTapeDrive._inquiry,
    cdb.TEST_UNIT_READY: SimTapeDrive._test_unit_ready,
    cdb.READ_BLOCK_LIMITS: SimTapeDrive._limits,
    cdb.MODE_SENSE: SimTapeDrive._mode_sense,
    cdb.MODE_SELECT: SimTapeDrive._mode_select,
    cdb.REWIND: SimTapeDrive._rewind,
    cdb.LOAD_UNLOAD: SimTapeDrive._load_unload,
    cdb.PREVENT_ALLOW: SimTapeDrive._prevent,
    cdb.LOCATE: SimTapeDrive._locate,
    cdb.READ_POSITION: SimTapeDrive._read_position,
    cdb.SPACE: SimTapeDrive._space,
    cdb.WRITE_6: SimTapeDrive._write,
    cdb.WRITE_FILEMARKS: SimTapeDrive._write_filemarks,
    cdb.READ_6: SimTapeDrive._read,
}


def open_sim(cartridge, profile: str = "lto", **options):
    """SimTapeDrive of a named profile. Raises NotReady for an unknown name."""
    if profile not in PROFILES:
        raise NotReady("no simulated drive %r, known are %s" % (profile, ", ".join(sorted(PROFILES))))
    return SimTapeDrive(cartridge, PROFILES[profile], **options)
