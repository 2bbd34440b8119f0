"""CRC-32C of ISA-L against crcmod, an independent implementation."""

import random

from crcmod import predefined

from hal.linux.rwp import NativeProcessor


def test_crc32c_agrees_with_crcmod():
    expected = predefined.mkPredefinedCrcFun("crc-32c")
    processor = NativeProcessor()
    seed = random.randrange(1 << 32)
    print("seed", seed)
    source = random.Random(seed)
    for _ in range(200):
        data = source.randbytes(source.randrange(2000))
        assert processor.crc32c(data) == expected(data)
