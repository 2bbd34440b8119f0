"""CRC-32C of ISA-L against crcmod, an independent implementation."""

import random

import pytest

from hal.linux.rwp import NativeProcessor


def test_crc32c_agrees_with_crcmod():
    crcmod = pytest.importorskip("crcmod.predefined", reason="pip install crcmod")
    expected = crcmod.mkPredefinedCrcFun("crc-32c")
    processor = NativeProcessor()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    for _ in range(200):
        data = source.randbytes(source.randrange(2000))
        assert processor.crc32c(data) == expected(data)
