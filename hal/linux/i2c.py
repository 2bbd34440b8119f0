"""SMBus through /dev/i2c-N (linux/i2c-dev.h, linux/i2c.h). Built by the boards."""

import struct

from hal.errors import BusError
from hal.i2c import SMBus
from hal.linux.libc import O_RDWR, libc, open_file
from hal.native import address as address_of
from hal.native import errno

_I2C_SLAVE = 0x0703
_I2C_SMBUS = 0x0720
_WRITE, _READ = 0, 1
_BYTE_DATA, _WORD_DATA, _I2C_BLOCK_DATA = 2, 3, 8
_REQUEST = "<BBxxIQ"  # struct i2c_smbus_ioctl_data: read_write, command, size, data
_DATA_BYTES = 34  # union i2c_smbus_data: length, 32 bytes, PEC
_BLOCK_BYTES = 32


class LinuxSMBus(SMBus):
    """`path` is the adapter's device. A transfer blocks for its time on the wire, a millisecond at 100 kHz. Raises NotReady, BusError."""

    def __init__(self, path: str):
        self.name = path
        self._fd = open_file(path, O_RDWR)
        self._data = bytearray(_DATA_BYTES)

    def _transfer(self, address: int, direction: int, register: int, size: int) -> None:
        if not 0x03 <= address <= 0x77 or not 0 <= register <= 0xFF:
            raise ValueError("i2c address 0x%02x, register %d: expected 0x03 to 0x77, 0 to 255" % (address, register))
        request = struct.pack(_REQUEST, direction, register, size, address_of(self._data))
        if libc.ioctl(self._fd, _I2C_SLAVE, address) < 0 or libc.ioctl(self._fd, _I2C_SMBUS, request) < 0:
            raise BusError("%s: no answer from 0x%02x, register 0x%02x: errno %d" % (self.name, address, register, errno()))

    def read_byte_data(self, address: int, register: int) -> int:
        self._transfer(address, _READ, register, _BYTE_DATA)
        return self._data[0]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        if not 0 <= value <= 0xFF:
            raise ValueError("i2c byte %d: expected 0 to 255" % value)
        self._set(bytes([value]))
        self._transfer(address, _WRITE, register, _BYTE_DATA)

    def read_word_data(self, address: int, register: int) -> int:
        self._transfer(address, _READ, register, _WORD_DATA)
        return self._data[0] | self._data[1] << 8

    def write_word_data(self, address: int, register: int, value: int) -> None:
        if not 0 <= value <= 0xFFFF:
            raise ValueError("i2c word %d: expected 0 to 65535" % value)
        self._set(struct.pack("<H", value))
        self._transfer(address, _WRITE, register, _WORD_DATA)

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list:
        self._check_length(length)
        self._data[0] = length
        self._transfer(address, _READ, register, _I2C_BLOCK_DATA)
        return list(self._data[1 : 1 + min(self._data[0], length)])

    def write_i2c_block_data(self, address: int, register: int, data) -> None:
        self._check_length(len(data))
        self._set(bytes([len(data)]) + bytes(data))
        self._transfer(address, _WRITE, register, _I2C_BLOCK_DATA)

    def _check_length(self, length: int) -> None:
        if not 1 <= length <= _BLOCK_BYTES:
            raise ValueError("i2c block of %d bytes: expected 1 to %d" % (length, _BLOCK_BYTES))

    def _set(self, data: bytes) -> None:
        self._data[: len(data)] = data

    def close(self) -> None:
        libc.close(self._fd)
