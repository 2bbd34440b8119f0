"""A simulated cartridge: blocks and filemarks in memory or in a file, with damage. Put into `hal.sim.tape.SimTapeDrive`."""

import struct

MARK = None  # a filemark among the objects

# In a file: one record per object, its length (or one of these), then the data. The last record is _END.
_RECORD = ">I"
_RECORD_BYTES = 4
_FILEMARK = 0xFFFFFFFE
_END = 0xFFFFFFFF


class Cartridge:
    """`objects` are the recorded blocks (bytes) and filemarks (MARK), `capacity_bytes` bounds the blocks' sum (0: endless).

    `early_bytes` before the capacity the drive gives early warning. `bad_read` and `bad_write` hold addresses that give
    a medium error; writing over an address takes it out of `bad_read`. `worm`: recorded objects cannot be overwritten.
    """

    def __init__(self, capacity_bytes: int = 0, early_bytes: int = 0, write_protected: bool = False, worm: bool = False):
        self.objects = []
        self.capacity_bytes = capacity_bytes
        self.early_bytes = early_bytes
        self.write_protected = write_protected
        self.worm = worm
        self.bad_read = set()
        self.bad_write = set()
        self._used = [0]  # bytes before each address

    def used_bytes(self, address: int) -> int:
        """Bytes recorded before `address`."""
        return self._used[address]

    def put(self, address: int, block) -> None:
        """Record `block` (bytes-like or MARK) at `address`; what lay there and behind is gone."""
        del self.objects[address:]
        del self._used[address + 1 :]
        self.bad_read = {bad for bad in self.bad_read if bad < address}
        self.objects.append(MARK if block is MARK else bytes(block))
        self._used.append(self._used[address] + (0 if block is MARK else len(block)))

    def corrupt(self, address: int, count: int = 1) -> None:
        """Invert a byte in the middle of `count` blocks: the drive will give them back as if nothing were wrong."""
        for at in range(address, address + count):
            block = bytearray(self.objects[at])
            block[len(block) // 2] ^= 0xFF
            self.objects[at] = bytes(block)

    def damage(self, address: int, count: int = 1) -> None:
        """Make `count` addresses unreadable."""
        self.bad_read.update(range(address, address + count))

    def save(self, path: str) -> None:
        """Write what is recorded into a file."""
        with open(path, "wb") as file:
            for block in self.objects:
                file.write(struct.pack(_RECORD, _FILEMARK if block is MARK else len(block)))
                if block is not MARK:
                    file.write(block)
            file.write(struct.pack(_RECORD, _END))

    def restore(self, path: str) -> None:
        """Take what `save` wrote. Raises ValueError for a file that ends early."""
        with open(path, "rb") as file:
            while True:
                raw = file.read(_RECORD_BYTES)
                length = struct.unpack(_RECORD, raw)[0] if len(raw) == _RECORD_BYTES else 0
                if length == _END:
                    return
                block = MARK if length == _FILEMARK else file.read(length)
                if len(raw) < _RECORD_BYTES or (block is not MARK and len(block) < length):
                    raise ValueError("%s: the cartridge file ends early" % path)
                self.put(len(self.objects), block)
