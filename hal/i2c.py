"""Interface of an SMBus, with the method names of the smbus2 library so that CPython tools can use it as it is."""


class SMBus:
    def read_byte_data(self, address: int, register: int) -> int:
        raise NotImplementedError

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        raise NotImplementedError

    def read_word_data(self, address: int, register: int) -> int:
        raise NotImplementedError

    def write_word_data(self, address: int, register: int, value: int) -> None:
        raise NotImplementedError

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list:
        """At most 32 bytes (SMBus 3.1 clause 6.5.7). Raises BusError when nothing answers at `address`."""
        raise NotImplementedError

    def write_i2c_block_data(self, address: int, register: int, data) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
