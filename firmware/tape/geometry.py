"""Reed-Solomon geometries: how many parity blocks, and which block belongs to which codeword. Pure arithmetic.

See firmware/formats/tape.py for the interleaving. Used by the writer, the reader and verify.
"""


class Geometry:
    """k data and m parity blocks a codeword, `depth` codewords side by side in a group."""

    def __init__(self, k: int, m: int, depth: int):
        self.k = k
        self.m = m
        self.depth = depth
        self.group_data = k * depth  # data blocks of a full group
        self.group_blocks = (k + m) * depth

    def width(self, data_blocks: int) -> int:
        """Codewords in a group of so many data blocks."""
        return min(self.depth, data_blocks)

    def parity_blocks(self, data_blocks: int) -> int:
        """Parity blocks of a group of so many data blocks."""
        return self.m * self.width(data_blocks)

    def place(self, number: int):
        """(group, position) of data block `number` of the file."""
        return number // self.group_data, number % self.group_data

    def group_of(self, number: int, data_blocks: int) -> int:
        """Data blocks of group `number` in a file of `data_blocks`."""
        return max(0, min(self.group_data, data_blocks - number * self.group_data))

    def file_blocks(self, data_blocks: int) -> int:
        """All blocks, parity included, of a file of `data_blocks`."""
        full, rest = divmod(data_blocks, self.group_data)
        return full * self.group_blocks + (rest + self.parity_blocks(rest) if rest else 0)

    def row(self, position: int, data_blocks: int):
        """(codeword, row) of the block at `position` of a group of `data_blocks`; rows from k on are parity."""
        width = self.width(data_blocks)
        codeword, turn = position % width, position // width
        if position < data_blocks:
            return codeword, turn
        return codeword, self.k + turn - (data_blocks - codeword + width - 1) // width

    def burst_blocks(self) -> int:
        """The longest run of lost blocks that is always corrected."""
        return self.m * self.depth

    def overhead_percent(self) -> float:
        """Parity for 100 bytes of data, in full groups."""
        return 100.0 * self.m / self.k

    def memory_bytes(self, block_bytes: int) -> int:
        """What the encoder keeps, and the decoder while it corrects."""
        return self.m * self.depth * block_bytes


# name: geometry, what it is for. Overhead, burst and memory at 256 KiB blocks follow from the numbers:
#   small     10.0 %    4 MiB    4 MiB
#   standard  10.0 %   16 MiB   16 MiB
#   deep      10.0 %   64 MiB   64 MiB
#   wide      10.0 %   63 MiB   63 MiB, and 3 % of the blocks at random
GEOMETRIES = {
    "small": (Geometry(40, 4, 4), "boards with 128 MiB of memory"),
    "standard": (Geometry(80, 8, 8), "boards with 256 MiB of memory"),
    "deep": (Geometry(80, 8, 32), "long damage: creases, a worn stretch"),
    "wide": (Geometry(230, 23, 11), "many scattered losses; costs three times the computing"),
}
DEFAULT = "standard"

INDEX = Geometry(32, 4, 1)  # of the index file, always
