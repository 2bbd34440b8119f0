"""An SMBus of register maps, for tests."""

from hal.errors import BusError
from hal.i2c import SMBus

_BLOCK_BYTES = 32


class SimSMBus(SMBus):
    """`chips` maps an address to its 256 registers (bytearray). Others do not answer. `log` holds (address, register) of each call."""

    def __init__(self, chips: dict):
        self.chips = chips
        self.log = []

    def _registers(self, address: int, register: int, length: int) -> bytearray:
        if not 0x03 <= address <= 0x77 or not 0 <= register <= 0xFF or not 1 <= length <= _BLOCK_BYTES:
            raise ValueError("i2c address 0x%02x, register %d, %d bytes: out of range" % (address, register, length))
        self.log.append((address, register))
        if address not in self.chips:
            raise BusError("simulated bus: no answer from 0x%02x" % address)
        return self.chips[address]

    def read_byte_data(self, address: int, register: int) -> int:
        return self._registers(address, register, 1)[register]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        if not 0 <= value <= 0xFF:
            raise ValueError("i2c byte %d: expected 0 to 255" % value)
        self._registers(address, register, 1)[register] = value

    def read_word_data(self, address: int, register: int) -> int:
        chip = self._registers(address, register, 2)
        return chip[register] | chip[register + 1 & 0xFF] << 8

    def write_word_data(self, address: int, register: int, value: int) -> None:
        if not 0 <= value <= 0xFFFF:
            raise ValueError("i2c word %d: expected 0 to 65535" % value)
        chip = self._registers(address, register, 2)
        chip[register] = value & 0xFF
        chip[register + 1 & 0xFF] = value >> 8

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list:
        chip = self._registers(address, register, length)
        return [chip[register + at & 0xFF] for at in range(length)]

    def write_i2c_block_data(self, address: int, register: int, data) -> None:
        chip = self._registers(address, register, len(data))
        for at, byte in enumerate(data):
            chip[register + at & 0xFF] = byte

    def close(self) -> None:
        """Nothing to release."""
