"""Interface of the read/write processor: everything done per byte between LAN, disk and tape (patent, figure 9)."""


class Processor:
    def crc32c(self, buffer, seed: int = 0) -> int:
        """CRC-32C (Castagnoli, RFC 3720 12.1: initial and final complement) of `buffer`, continuing from `seed`."""
        raise NotImplementedError

    def blake2b(self, buffer, key: bytes = b"", digest_bytes: int = 32) -> bytes:
        """BLAKE2b (RFC 7693), optionally keyed."""
        raise NotImplementedError

    def sums(self, buffer, chunk_bytes: int):
        """For each chunk of `buffer` (the last one shorter) 36 bytes: RabinKarp rolling sum as librsync, big-endian, and BLAKE2b-256.

        One call for all of them. Valid until the next call; empty for no bytes.
        """
        raise NotImplementedError

    def hasher(self):
        """A `Hasher`: unkeyed BLAKE2b-256 of what `update` is fed."""
        raise NotImplementedError

    def compress(self, source, target, level: int = 1) -> int:
        """zstd frame of `source` into `target`; gives its length, or 0 if it does not fit (then store it raw)."""
        raise NotImplementedError

    def decompress(self, source, target) -> int:
        """Decode exactly one zstd frame (RFC 8878) into `target`, give the length.

        Window and output are bounded by len(target) before decoding. Raises CorruptData.
        """
        raise NotImplementedError

    def rs_encoder(self, k: int, m: int):
        """A `ReedSolomon` over GF(2^8), polynomial 0x11D, Cauchy matrix as ISA-L gf_gen_cauchy1_matrix."""
        raise NotImplementedError


class Hasher:
    def update(self, buffer) -> None:
        raise NotImplementedError

    def digest(self) -> bytes:
        """32 bytes; call once, last."""
        raise NotImplementedError


class ReedSolomon:
    """k data and m parity blocks of equal length, k + m <= 255."""

    def update(self, index: int, block, parity: list) -> None:
        """Add data block `index` (0..k-1) into the m `parity` buffers, which began as zeros. Blocks never added count as zero."""
        raise NotImplementedError

    def recover(self, present: dict, missing: list, length: int) -> dict:
        """Rebuild. `present` maps index (0..k+m-1, k.. is parity) to buffer, at least k of them; `missing` lists data indices.

        Gives {index: bytearray}. Raises CorruptData if fewer than k are present.
        """
        raise NotImplementedError
