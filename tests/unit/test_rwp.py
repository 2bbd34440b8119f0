"""The forms of BLAKE2b that libb2 offers: whichever is fastest is taken, so all must give the same. Runs under both interpreters."""

from hal.linux.rwp import BLAKE2B_FORMS, Blake2b, NativeHasher, NativeProcessor

_LENGTHS = (0, 1, 64, 127, 128, 129, 8192, 100003)


def _pattern(length: int) -> bytes:
    return bytes([number * 7 & 255 for number in range(min(length, 256))]) * (length // 256 + 1)


def _digests(form: str) -> list:
    functions = Blake2b(form)
    found = []
    for length in _LENGTHS:
        data = _pattern(length)[:length]
        digest = bytearray(32)
        assert functions.whole(digest, data, b"key", 32, length, 3) == 0
        hasher = NativeHasher(functions)
        hasher.update(data[: length // 3])
        hasher.update(data[length // 3 :])
        found.append((bytes(digest), hasher.digest()))
    return found


def test_all_forms_agree():
    first = _digests(BLAKE2B_FORMS[0])
    assert len(set(first)) == len(_LENGTHS)
    for form in BLAKE2B_FORMS[1:]:
        assert _digests(form) == first


def test_the_processor_uses_one_of_them():
    processor = NativeProcessor()
    data = _pattern(5000)
    hasher = processor.hasher()
    hasher.update(data)
    assert hasher.digest() == processor.blake2b(data)
    assert processor.blake2b(data, b"key", 20) != processor.blake2b(data, b"", 20)
    processor.close()
