"""Sense decoding: both formats, short and garbled input, and the errors that sense means. Both interpreters."""

from hal import errors
from hal.ssc import sense as sns


def fixed(key, asc, ascq, flags=0, info=None, code=0x70):
    raw = bytearray(18)
    raw[0] = code | (0x80 if info is not None else 0)
    raw[2] = key | flags
    raw[3:7] = bytes([(info or 0) >> shift & 0xFF for shift in (24, 16, 8, 0)])
    raw[7] = 10
    raw[12], raw[13] = asc, ascq
    return bytes(raw)


def test_fixed_format():
    sense = sns.decode(fixed(3, 0x11, 0))
    assert sense.triple == (3, 0x11, 0)
    assert (sense.filemark, sense.eom, sense.ili, sense.info, sense.deferred) == (False, False, False, None, False)


def test_fixed_flags_and_signed_information():
    sense = sns.decode(fixed(0, 0, 0, 0x20, -4096))
    assert sense.ili and not sense.filemark and not sense.eom and sense.info == -4096
    sense = sns.decode(fixed(0, 0, 1, 0x80, 262144))
    assert sense.filemark and sense.info == 262144
    assert sns.decode(fixed(0, 0, 2, 0x40, 0)).eom


def test_information_counts_only_with_the_valid_bit():
    raw = bytearray(fixed(0, 0, 0, 0x20, 77))
    raw[0] &= 0x7F
    assert sns.decode(raw).info is None


def test_filemark_bit_means_nothing_beside_an_error():
    assert not sns.decode(fixed(5, 0x24, 0, 0x80)).filemark


def test_deferred():
    assert sns.decode(fixed(3, 0x0C, 0, code=0x71)).deferred
    assert sns.decode(bytes((0x73, 3, 0x0C, 0, 0, 0, 0, 0))).deferred
    assert str(sns.decode(fixed(3, 0x0C, 0, code=0x71))).startswith("deferred: medium error, write error")


def test_descriptor_format():
    info = bytes((0, 10, 0x80, 0)) + b"\xff" * 7 + b"\xf0"
    stream = bytes((4, 2, 0, 0xE0))
    raw = bytes((0x72, 0, 0, 1, 0, 0, 0, len(info + stream))) + info + stream
    sense = sns.decode(raw)
    assert sense.triple == (0, 0, 1) and sense.info == -16
    assert sense.filemark and sense.eom and sense.ili


def test_descriptor_after_an_unknown_one():
    unknown = bytes((0x80, 4, 1, 2, 3, 4))
    stream = bytes((4, 2, 0, 0x40))
    assert sns.decode(bytes((0x72, 0, 0, 2, 0, 0, 0, 10)) + unknown + stream).eom


def test_truncated_descriptors_are_ignored():
    stream = bytes((4, 2, 0))
    sense = sns.decode(bytes((0x72, 8, 0, 5, 0, 0, 0, 40)) + stream)
    assert sense.triple == (8, 0, 5) and not sense.eom and sense.info is None
    assert sns.decode(bytes((0x72, 8))).triple == (8, 0, 0)


def test_short_and_foreign_input():
    assert sns.decode(b"") is None
    assert sns.decode(bytes(18)) is None
    assert sns.decode(b"\x7f" * 18) is None
    assert sns.decode(fixed(7, 0x27, 0)[:8]).triple == (7, 0, 0)


def test_every_first_byte_is_survived():
    for first in range(256):
        for length in range(1, 24):
            sns.decode(bytes([first]) + b"\xff" * (length - 1))


ERRORS = (
    ((2, 0x3A, 0), errors.NotReady),
    ((3, 0x11, 0), errors.MediumError),
    ((4, 0x44, 0), errors.BusError),
    ((5, 0x20, 0), errors.Unsupported),
    ((6, 0x28, 0), errors.UnitAttention),
    ((7, 0x27, 0), errors.WriteProtected),
    ((8, 0x00, 5), errors.BlankCheck),
    ((0xB, 0, 0), errors.BusError),
    ((0xD, 0, 2), errors.EndOfMedium),
    ((0, 0, 1), errors.FileMark),
    ((0, 0, 5), errors.BlankCheck),
    ((9, 0, 0), errors.BusError),
)


def test_errors():
    for triple, kind in ERRORS:
        failure = sns.failure("drive: READ", sns.decode(fixed(*triple)))
        assert type(failure) is kind, (triple, failure)
        assert failure.sense == triple
        assert str(failure).startswith("drive: READ: ")
