"""Read/write processor on the CPU: zstd, ISA-L (CRC-32C, Reed-Solomon), libb2, librsync. Built by the boards."""

import struct
import time

from hal.errors import CorruptData, Unsupported
from hal.native import Library, address, aligned
from hal.rwp import Hasher, Processor, ReedSolomon

# Results of zstd are size_t with errors as negative codes: read as signed.
_zstd = Library(
    ("libzstd.so.1",),
    {
        "ZSTD_createCCtx": ("p", ""),
        "ZSTD_createDCtx": ("p", ""),
        "ZSTD_freeCCtx": ("l", "p"),
        "ZSTD_freeDCtx": ("l", "p"),
        "ZSTD_compressCCtx": ("l", "ppLpLi"),
        "ZSTD_decompressDCtx": ("l", "ppLpL"),
        "ZSTD_findFrameCompressedSize": ("l", "pL"),
        "ZSTD_getFrameContentSize": ("l", "pL"),
    },
)

_isal = Library(
    ("libisal.so.2",),
    {
        "crc32_iscsi": ("I", "piI"),
        "ec_init_tables": ("v", "iipp"),
        "ec_encode_data": ("v", "iiippp"),
        "ec_encode_data_update": ("v", "iiiippp"),
        "gf_gen_cauchy1_matrix": ("v", "pii"),
        "gf_invert_matrix": ("i", "ppi"),
    },
)

_rsync = Library(
    ("librsync.so.2",),
    {"rs_sig_begin": ("p", "LLi"), "rs_job_iter": ("i", "pp"), "rs_job_free": ("i", "p")},
)
_RK_BLAKE2 = 0x72730147  # RS_RK_BLAKE2_SIG_MAGIC, librsync.h
_SIG_HEAD_BYTES = 12
_SUM_BYTES = 36
_BUFFERS = "PLIxxxxPL"  # rs_buffers_s: next_in, avail_in, eof_in, next_out, avail_out
_SUMS = 1024  # room for so many at first

# libb2 chooses a form by what the CPU offers. Its plain C is faster on an emulated CPU (90 against 35 MB/s under TCG), slower
# on a large one (530 against 780).
BLAKE2B_FORMS = ("", "_ref")
_BLAKE2B = {
    "blake2b": ("i", "pppLLL"),
    "blake2b_init": ("i", "pL"),
    "blake2b_update": ("i", "ppL"),
    "blake2b_final": ("i", "ppL"),
}
_b2 = Library(("libb2.so.1",), {name + form: takes for name, takes in _BLAKE2B.items() for form in BLAKE2B_FORMS})
_TRIAL_BYTES = 1 << 13
_TRIALS = 4
_BLAKE2B_STATE = (512, 64)  # bytes and alignment, both at least those of blake2b_state in blake2.h

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_DST_TOO_SMALL = -70
_CONTENT_SIZE_UNKNOWN = -1
_LEVELS = (1, 19)
_MAX_CRC_BYTES = (1 << 31) - 1  # crc32_iscsi takes an int
_TABLE_BYTES = 32  # per coefficient, erasure_code.h


class Blake2b:
    """The functions of one form. Raises Unsupported where libb2 was built without it."""

    def __init__(self, form: str):
        self.form = form
        self.whole, self.init, self.update, self.final = [getattr(_b2, name + form) for name in
                                                          ("blake2b", "blake2b_init", "blake2b_update", "blake2b_final")]  # fmt: skip

    def trial_ns(self) -> int:
        """What hashing some KiB takes."""
        block, digest = bytes(_TRIAL_BYTES), bytearray(32)
        began = time.time_ns()
        self.whole(digest, block, b"", 32, _TRIAL_BYTES, 0)
        return time.time_ns() - began


_chosen = []


def _blake2b() -> Blake2b:
    """The form for this CPU, found at the first use."""
    if not _chosen:
        _chosen.append(_choose())
    return _chosen[0]


def _choose() -> Blake2b:
    """libb2's own choice, unless plain C is clearly faster."""
    usual = Blake2b(BLAKE2B_FORMS[0])
    try:
        plain = Blake2b(BLAKE2B_FORMS[1])
    except Unsupported:
        return usual  # a libb2 with one form
    usual_ns, plain_ns = [min([form.trial_ns() for _ in range(_TRIALS)]) for form in (usual, plain)]
    return plain if 4 * plain_ns < 3 * usual_ns else usual


class NativeProcessor(Processor):
    """Contexts are made once and reused; every call runs to its end, so hand over at most a few MiB."""

    def __init__(self):
        self._cctx = _zstd.ZSTD_createCCtx()
        self._dctx = _zstd.ZSTD_createDCtx()
        self._signature = bytearray(_SIG_HEAD_BYTES + _SUMS * _SUM_BYTES)
        self._buffers = bytearray(struct.calcsize(_BUFFERS))

    def crc32c(self, buffer, seed: int = 0) -> int:
        length = len(buffer)
        if length > _MAX_CRC_BYTES:
            raise ValueError("crc32c of %d bytes: at most %d in one call" % (length, _MAX_CRC_BYTES))
        return _isal.crc32_iscsi(buffer, length, seed ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    def blake2b(self, buffer, key: bytes = b"", digest_bytes: int = 32) -> bytes:
        if not 1 <= digest_bytes <= 64:
            raise ValueError("BLAKE2b digest of %d bytes: expected 1 to 64" % digest_bytes)
        if len(key) > 64:
            raise ValueError("BLAKE2b key of %d bytes: expected at most 64" % len(key))
        digest = bytearray(digest_bytes)
        if _blake2b().whole(digest, buffer, key, digest_bytes, len(buffer), len(key)) != 0:
            raise Unsupported("BLAKE2b refused %d bytes" % len(buffer))
        return bytes(digest)

    def sums(self, buffer, chunk_bytes: int):
        length = len(buffer)
        if not length:
            return b""
        room = _SIG_HEAD_BYTES + (length + chunk_bytes - 1) // chunk_bytes * _SUM_BYTES
        if room > len(self._signature):
            self._signature = bytearray(room)
        out = self._signature
        struct.pack_into(_BUFFERS, self._buffers, 0, address(buffer), length, 1, address(out), room)
        job = _rsync.rs_sig_begin(chunk_bytes, 32, _RK_BLAKE2)
        result = _rsync.rs_job_iter(job, self._buffers)
        _rsync.rs_job_free(job)
        left = struct.unpack_from(_BUFFERS, self._buffers)[4]
        if result != 0 or left:
            raise Unsupported("librsync made no signature of %d bytes: result %d, %d bytes left" % (length, result, left))
        return memoryview(out)[_SIG_HEAD_BYTES:room]

    def hasher(self):
        return NativeHasher(_blake2b())

    def compress(self, source, target, level: int = 1) -> int:
        if not _LEVELS[0] <= level <= _LEVELS[1]:
            raise ValueError("zstd level %d: expected %d to %d" % (level, _LEVELS[0], _LEVELS[1]))
        length = _zstd.ZSTD_compressCCtx(self._cctx, target, len(target), source, len(source), level)
        if length == _ZSTD_DST_TOO_SMALL:
            return 0
        if length < 0:
            raise Unsupported("zstd could not compress %d bytes: error %d" % (len(source), -length))
        return length

    def decompress(self, source, target) -> int:
        self._check_frame(source, len(target))
        # In one pass the target is the window: a frame that claims a huge one allocates nothing.
        length = _zstd.ZSTD_decompressDCtx(self._dctx, target, len(target), source, len(source))
        if length < 0:
            raise CorruptData("zstd frame of %d bytes does not decode: error %d" % (len(source), -length))
        return length

    def _check_frame(self, source, room: int) -> None:
        given = len(source)
        if bytes(source[:4]) != _ZSTD_MAGIC:  # skippable and legacy frames are refused with it
            raise CorruptData("not a zstd frame: %d bytes without its magic number" % given)
        length = _zstd.ZSTD_findFrameCompressedSize(source, given)
        if length != given:
            raise CorruptData("zstd: expected one frame of %d bytes, got %d" % (given, length))
        content = _zstd.ZSTD_getFrameContentSize(source, given)
        if content > room or content < _CONTENT_SIZE_UNKNOWN:
            raise CorruptData("zstd frame of %d bytes of content: expected at most %d" % (content, room))

    def rs_encoder(self, k: int, m: int):
        return IsalReedSolomon(k, m)

    def close(self) -> None:
        """Free the contexts. Nothing may be called afterwards."""
        _zstd.ZSTD_freeCCtx(self._cctx)
        _zstd.ZSTD_freeDCtx(self._dctx)
        self._cctx = self._dctx = 0


def _pointers(buffers: list, length: int) -> bytearray:
    """C array of pointers to `buffers`, each checked to hold `length` bytes. Valid while the buffers live."""
    for buffer in buffers:
        if len(buffer) != length:
            raise ValueError("Reed-Solomon block of %d bytes: expected %d" % (len(buffer), length))
    return bytearray(struct.pack("<%dQ" % len(buffers), *[address(buffer) for buffer in buffers]))


def _tables(k: int, rows: int, coefficients) -> bytearray:
    """Expanded for this CPU; never stored (GFNI and AVX2 differ)."""
    tables = bytearray(_TABLE_BYTES * k * rows)
    _isal.ec_init_tables(k, rows, coefficients, tables)
    return tables


class NativeHasher(Hasher):
    def __init__(self, blake2b):
        self._blake2b = blake2b
        self._state = aligned(*_BLAKE2B_STATE)
        blake2b.init(self._state, 32)

    def update(self, buffer) -> None:
        self._blake2b.update(self._state, buffer, len(buffer))

    def digest(self) -> bytes:
        digest = bytearray(32)
        self._blake2b.final(self._state, digest, 32)
        return bytes(digest)


class IsalReedSolomon(ReedSolomon):
    """ISA-L erasure code. `recover` keeps the tables of the last pattern: calls over slices of the blocks cost no inversion."""

    def __init__(self, k: int, m: int):
        if k < 1 or m < 1 or k + m > 255:
            raise ValueError("Reed-Solomon k=%d m=%d: expected both positive, at most 255 together" % (k, m))
        self.k = k
        self.m = m
        self._matrix = bytearray((k + m) * k)
        _isal.gf_gen_cauchy1_matrix(self._matrix, k + m, k)
        self._encode = _tables(k, m, memoryview(self._matrix)[k * k :])
        self._pattern = None
        self._decode = None

    def update(self, index: int, block, parity: list) -> None:
        if not 0 <= index < self.k or len(parity) != self.m:
            raise ValueError(
                "Reed-Solomon block %d with %d parities: expected below %d with %d" % (index, len(parity), self.k, self.m)
            )
        length = len(block)
        _isal.ec_encode_data_update(length, self.k, self.m, index, self._encode, block, _pointers(parity, length))

    def recover(self, present: dict, missing: list, length: int) -> dict:
        rows = tuple(sorted(present)[: self.k])
        if len(rows) < self.k:
            raise CorruptData("Reed-Solomon: %d blocks present, at least %d needed" % (len(rows), self.k))
        if not missing:
            return {}
        for index in missing:
            if not 0 <= index < self.k:
                raise ValueError("Reed-Solomon: block %d is not a data block, expected below %d" % (index, self.k))
        sources = [present[row] for row in rows]
        found = {index: bytearray(length) for index in missing}
        targets = [found[index] for index in missing]
        tables = self._decoder(rows, tuple(missing))
        _isal.ec_encode_data(length, self.k, len(missing), tables, _pointers(sources, length), _pointers(targets, length))
        return found

    def _decoder(self, rows: tuple, missing: tuple) -> bytearray:
        if self._pattern != (rows, missing):
            k = self.k
            matrix = memoryview(self._matrix)
            square = b"".join([bytes(matrix[row * k : (row + 1) * k]) for row in rows])
            inverse = bytearray(k * k)
            if rows[0] < 0 or rows[-1] >= k + self.m or _isal.gf_invert_matrix(square, inverse, k) < 0:
                raise ValueError("Reed-Solomon: blocks %s are not of a k=%d m=%d codeword" % (rows, k, self.m))
            wanted = b"".join([bytes(inverse[row * k : (row + 1) * k]) for row in missing])
            self._decode = _tables(k, len(missing), wanted)
            self._pattern = (rows, missing)
        return self._decode
