"""Sense data, decoded (fixed and descriptor format), and the hal.errors exception each one means. Used by `hal.ssc.drive`.

Ref: SPC-4 4.5 (sense data formats, sense keys, additional sense codes), SSC-3 4.2.18 (FILEMARK, EOM, ILI).
"""

import struct

from hal import errors

NO_SENSE = 0x0
RECOVERED = 0x1
NOT_READY = 0x2
MEDIUM = 0x3
HARDWARE = 0x4
ILLEGAL = 0x5
ATTENTION = 0x6
PROTECT = 0x7
BLANK = 0x8
ABORTED = 0xB
OVERFLOW = 0xD
COMPLETED = 0xF

BENIGN = (NO_SENSE, RECOVERED, COMPLETED)  # the command did what it could: the flags say what it met

KEY_NAMES = {
    NO_SENSE: "no sense", RECOVERED: "recovered error", NOT_READY: "not ready", MEDIUM: "medium error",
    HARDWARE: "hardware error", ILLEGAL: "illegal request", ATTENTION: "unit attention", PROTECT: "data protect",
    BLANK: "blank check", 0x9: "vendor specific", 0xA: "copy aborted", ABORTED: "aborted command",
    OVERFLOW: "volume overflow", 0xE: "miscompare", COMPLETED: "completed",
}  # fmt: skip

# (asc, ascq) that a message may carry. Ref: SPC-4 Annex D.
CODE_NAMES = {
    (0x00, 0x01): "filemark detected",
    (0x00, 0x02): "end of partition or medium detected",
    (0x00, 0x04): "beginning of partition or medium detected",
    (0x00, 0x05): "end of data detected",
    (0x03, 0x02): "excessive write errors",
    (0x04, 0x00): "cause not reportable",
    (0x04, 0x01): "becoming ready",
    (0x04, 0x02): "initializing command required",
    (0x04, 0x03): "manual intervention required",
    (0x04, 0x07): "operation in progress",
    (0x08, 0x00): "logical unit communication failure",
    (0x0C, 0x00): "write error",
    (0x11, 0x00): "unrecovered read error",
    (0x15, 0x01): "mechanical positioning error",
    (0x1A, 0x00): "parameter list length error",
    (0x20, 0x00): "invalid command operation code",
    (0x24, 0x00): "invalid field in CDB",
    (0x26, 0x00): "invalid field in parameter list",
    (0x27, 0x00): "write protected",
    (0x28, 0x00): "medium may have changed",
    (0x29, 0x00): "power on or reset",
    (0x2A, 0x01): "mode parameters changed",
    (0x30, 0x00): "incompatible medium",
    (0x30, 0x03): "cleaning cartridge installed",
    (0x30, 0x0C): "WORM medium, overwrite attempted",
    (0x31, 0x00): "medium format corrupted",
    (0x3A, 0x00): "medium not present",
    (0x3B, 0x00): "sequential positioning error",
    (0x44, 0x00): "internal target failure",
    (0x53, 0x00): "media load or eject failed",
    (0x53, 0x02): "medium removal prevented",
}

# Sense of TEST UNIT READY while an immediate command still runs. Ref: SPC-4 Annex D, SSC-3 4.2.17.
IN_PROGRESS = {
    (NOT_READY, 0x04, 0x01), (NOT_READY, 0x04, 0x07),
    (NO_SENSE, 0x00, 0x16), (NO_SENSE, 0x00, 0x18), (NO_SENSE, 0x00, 0x19), (NO_SENSE, 0x00, 0x1A),
}  # fmt: skip

_ERRORS = {
    NOT_READY: errors.NotReady,
    MEDIUM: errors.MediumError,
    ILLEGAL: errors.Unsupported,
    ATTENTION: errors.UnitAttention,
    PROTECT: errors.WriteProtected,
    BLANK: errors.BlankCheck,
    OVERFLOW: errors.EndOfMedium,
}  # every other key leaves the state of the drive unknown: BusError

# Keys without an error of their own whose code says one. tgt reports the end of data under NO SENSE.
_BENIGN_ERRORS = {
    (0x00, 0x01): errors.FileMark,
    (0x00, 0x04): errors.BlankCheck,
    (0x00, 0x05): errors.BlankCheck,
}


class Sense:
    """`key`, `asc`, `ascq`; `filemark`, `eom`, `ili` (bool); `info` the signed INFORMATION field or None if not valid;
    `deferred`: it speaks of an earlier command, and this one was not executed."""

    def __init__(self, key, asc, ascq, filemark=False, eom=False, ili=False, info=None, deferred=False):
        self.key = key
        self.asc = asc
        self.ascq = ascq
        # istgt leaves FILEMARK set in whatever it reports until the next read: the bit means something only here.
        self.filemark = filemark and key in BENIGN
        self.eom = eom
        self.ili = ili
        self.info = info
        self.deferred = deferred

    @property
    def triple(self):
        return (self.key, self.asc, self.ascq)

    def __str__(self) -> str:
        code = (self.asc, self.ascq)
        text = "%s, %s (%02x/%02x)" % ((KEY_NAMES[self.key], CODE_NAMES.get(code, "code")) + code)
        return "deferred: " + text if self.deferred else text


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _fixed(raw: bytes) -> Sense:
    """Ref: SPC-4 4.5.3. Targets may send fewer than 18 bytes: what is missing reads as zero."""
    raw = bytes(raw[:18]) + bytes(max(0, 18 - len(raw)))
    code, _, flags, info, _, _, asc, ascq = struct.unpack(">BBBIBIBB", raw[:14])
    return Sense(
        flags & 0x0F, asc, ascq, bool(flags & 0x80), bool(flags & 0x40), bool(flags & 0x20),
        _signed(info, 32) if code & 0x80 else None, code & 0x7F == 0x71,
    )  # fmt: skip


def _descriptors(raw: bytes) -> dict:
    """{type: body} of the descriptors; a truncated one is left out."""
    found = {}
    end = min(len(raw), 8 + raw[7]) if len(raw) > 7 else 0
    start = 8
    while start + 2 <= end:
        length = raw[start + 1]
        if start + 2 + length <= end:
            found[raw[start]] = bytes(raw[start + 2 : start + 2 + length])
        start += 2 + length
    return found


def _descriptor(raw: bytes) -> Sense:
    """Ref: SPC-4 4.5.2; INFORMATION is type 0, stream commands type 4."""
    raw = bytes(raw) + bytes(max(0, 4 - len(raw)))
    found = _descriptors(raw)
    info, stream = found.get(0, b""), found.get(4, b"")
    value = None
    if len(info) >= 10 and info[0] & 0x80:
        value = _signed(struct.unpack(">Q", info[2:10])[0], 64)
    flags = stream[1] if len(stream) >= 2 else 0
    return Sense(
        raw[1] & 0x0F, raw[2], raw[3], bool(flags & 0x80), bool(flags & 0x40), bool(flags & 0x20),
        value, raw[0] & 0x7F == 0x73,
    )  # fmt: skip


_FORMATS = {0x70: _fixed, 0x71: _fixed, 0x72: _descriptor, 0x73: _descriptor}


def decode(raw: bytes):
    """Sense of raw sense bytes, or None where the target sent none or an unknown format."""
    if not raw:
        return None
    decoder = _FORMATS.get(raw[0] & 0x7F)
    return decoder(raw) if decoder else None


def failure(what: str, sense: Sense):
    """The exception that `sense` means; `what` names the drive and the command."""
    kind = _ERRORS.get(sense.key, errors.BusError)
    if sense.key in BENIGN:
        kind = _BENIGN_ERRORS.get((sense.asc, sense.ascq), errors.BusError)
    return kind("%s: %s" % (what, sense), sense.triple)
