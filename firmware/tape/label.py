"""The labels of a tape: writing them, and saying whose tape is in the drive. Used by everything that opens a tape."""

import os
import time

from firmware.formats import tape as form
from firmware.formats.record import FormatError
from firmware.tape import block
from hal.errors import BlankCheck, BusError, FileMark, HalError, MediumError, Timeout, UnitAttention, WrongLength

BLANK = "blank"  # nothing recorded
FOREIGN = "foreign"  # somebody else's, or damaged beyond telling
OURS = "ours"

_TRIES = 3
_DAY_NS = 86400 * 1000000000
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
_NAME_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NAME_BYTES = 32
NO_UUID = bytes(16)


class Found:
    """What `identify` found: `kind` is BLANK, FOREIGN or OURS, `text` says it in words, `label` is the LABEL of ours."""

    def __init__(self, kind: str, text: str, label=None):
        self.kind = kind
        self.text = text
        self.label = label


def name_fault(name: str):
    """What is wrong with a tape name, or None."""
    if not 0 < len(name) <= NAME_BYTES or not all([c in _NAME_CHARS for c in name]):
        return "tape name %r: expected 1 to %d letters, digits, '-', '_' or '.'" % (name, NAME_BYTES)
    return None


def new_name() -> str:
    """For a blank tape that nobody named."""
    return "T" + "".join([_NAME_ALPHABET[c & 31] for c in os.urandom(5)])


def new_label(name: str, appliance: bytes, owner: str, block_bytes: int, geometry, now_ns: int):
    """LABEL of a new, empty volume."""
    return form.LABEL.tuple(
        version=form.VERSION, contents=form.EMPTY, flags=0, volume=os.urandom(16), appliance=appliance, image=os.urandom(16),
        set=NO_UUID, base=NO_UUID, member=1, members=1, parity_members=0, generation=0, created_ns=now_ns, written_ns=now_ns,
        expires_ns=now_ns, block_bytes=block_bytes, code=form.CAUCHY_11D, k=geometry.k, m=geometry.m, depth=geometry.depth,
        name=name, pool="", owner=owner,
    )  # fmt: skip


def for_image(label, appliance: bytes, owner: str, block_bytes: int, geometry, now_ns: int, keep_days: int):
    """LABEL for a new writing onto the volume of `label`."""
    return form.LABEL.tuple(
        version=form.VERSION, contents=form.IMAGE_FULL, flags=label.flags, volume=label.volume, appliance=appliance,
        image=os.urandom(16), set=os.urandom(16), base=NO_UUID, member=1, members=1, parity_members=0,
        generation=label.generation + 1, created_ns=label.created_ns, written_ns=now_ns, expires_ns=now_ns + keep_days * _DAY_NS,
        block_bytes=block_bytes, code=form.CAUCHY_11D, k=geometry.k, m=geometry.m, depth=geometry.depth, name=label.name,
        pool=label.pool, owner=owner,
    )  # fmt: skip


def _ansi_date(when_ns: int) -> str:
    """Ref: ECMA-13 8.5.9: a blank or 0 for the century, two digits of the year, the day of the year."""
    fields = time.gmtime(when_ns // 1000000000)
    century = " " if fields[0] < 2000 else "0"
    return "%s%02d%03d" % (century, fields[0] % 100, fields[7])


async def write_label(tape, processor, label) -> None:
    """From the beginning: labels and a filemark, durable on return. What the tape held is gone. Raises WriteProtected."""
    await tape.rewind()
    vol1 = memoryview(form.pack_vol1(label.name))
    try:
        await tape.write(vol1)
    except MediumError:
        # istgt refuses the first write over a tape that has filemarks, once. A worn beginning fails again.
        await tape.rewind()
        await tape.write(vol1)
    dates = _ansi_date(label.written_ns), _ansi_date(label.expires_ns)
    await tape.write(memoryview(form.pack_hdr1(label.name, label.generation, dates[0], dates[1])))
    raw = form.LABEL.pack(*label)
    for copy in range(form.LABEL_COPIES):
        await tape.write(_small_block(processor, form.LABEL_BLOCK, label, copy, raw))
    await tape.write_filemarks(1 if label.contents else 2)


def _small_block(processor, kind: int, label, copy: int, raw: bytes):
    buffer = memoryview(bytearray(form.LABEL_BYTES))
    buffer[form.PAYLOAD_OFFSET : form.PAYLOAD_OFFSET + len(raw)] = raw
    block.seal_payload(processor, buffer)
    block.seal(processor, buffer, kind, label.member, label.image, copy, 0, copy, len(raw), 0)
    return buffer


async def write_end(tape, processor, label, end) -> None:
    """The END blocks and the closing filemarks, durable on return."""
    for copy in range(form.END_COPIES):
        await tape.write(_small_block(processor, form.END_BLOCK, label, copy, form.END.pack(*end)))
    await tape.write_filemarks(2)


def small_payload(processor, view, kind: int):
    """(HEADER, payload) of a LABEL or END block, or None."""
    # Not every chain of drive and host adapter tells the length of a block shorter than the buffer: QEMU's iSCSI does not.
    view = view[: form.LABEL_BYTES]
    header = block.check(processor, view)
    if header is None or header.kind != kind:
        return None
    return header, view[form.PAYLOAD_OFFSET : form.PAYLOAD_OFFSET + header.payload_bytes]


def parse_label(raw):
    """LABEL, checked. Raises FormatError."""
    label = form.LABEL.unpack(raw)
    form.check_label(label)
    return label


async def read_block(tape, buffer):
    """Memoryview of the next block, or the error that says why there is none: BlankCheck, FileMark, MediumError, WrongLength."""
    try:
        return buffer[: await tape.read(buffer)]
    except (BlankCheck, FileMark, MediumError, WrongLength) as error:
        return error


async def persist(work):
    """What the coroutine function `work` gives; it is run again, from the beginning of the tape, after a reset or a lost command.

    Raises UnitAttention, BusError or Timeout when that keeps happening.
    """
    for attempt in range(_TRIES):
        try:
            return await work()
        except (UnitAttention, BusError, Timeout):
            if attempt == _TRIES - 1:
                raise


async def identify(tape, processor) -> Found:
    """Rewind and say what is in the drive. Raises NotReady without a medium, and what the transport raises again and again.

    Leaves the position before the filemark that closes the labels, where it finds ours.
    """
    return await persist(lambda: _identify(tape, processor))


async def _identify(tape, processor) -> Found:
    await settle(tape)
    buffer = memoryview(bytearray(form.LABEL_BYTES))
    first = await read_block(tape, buffer)
    if isinstance(first, BlankCheck):
        return Found(BLANK, "a blank tape")
    ansi = None if isinstance(first, HalError) else form.parse_vol1(first)
    told = _told(first, ansi)
    for address in range(form.LABEL_ADDRESS, form.LABEL_ADDRESS + form.LABEL_COPIES):
        label = await _label_at(tape, processor, address, buffer)
        if label:
            return Found(OURS, "tape %s" % label.name, label)
    return Found(FOREIGN, told)


async def settle(tape) -> None:
    """Rewind, whatever happened before: clears unit attentions and an unknown position."""
    await tape.status()
    await tape.rewind()


async def _label_at(tape, processor, address: int, buffer):
    try:
        here = await tape.position()
        if here == address - 1:
            await read_block(tape, buffer)  # HDR1 says nothing that the label does not
        elif here != address:
            await tape.locate(address)
    except (MediumError, BlankCheck):
        return None
    view = await read_block(tape, buffer)
    found = None if isinstance(view, HalError) else small_payload(processor, view, form.LABEL_BLOCK)
    if not found:
        return None
    try:
        return parse_label(found[1])
    except FormatError:
        return None


def _told(first, ansi) -> str:
    if isinstance(first, MediumError):
        return "a tape whose first block is unreadable"
    if isinstance(first, HalError):
        return "a tape that begins with %s" % (
            "a filemark" if isinstance(first, FileMark) else "a block of more than %d bytes" % form.LABEL_BYTES
        )
    if ansi is None:
        return "a tape without labels: its first block has %d bytes" % len(first)
    if form.is_ours(ansi[1]):
        return "tape %s with unreadable labels" % ansi[0]
    return "a tape of somebody else: ANSI label VOL1, volume %s%s" % (
        ansi[0] or "without name",
        ", by " + ansi[1] if ansi[1] else "",
    )
