"""The tape: ANSI labels, then files of blocks closed by filemarks.

    tape    := VOL1, HDR1, LABEL block, LABEL block again, filemark          an empty tape has a second filemark here
               image blocks, filemark                                        file 1
               index blocks, filemark                                        file 2
               END block, END block again, 2 filemarks                       file 3; without it the tape is unfinished
    block   := HEADER, area
    area    := u32 CRC-32C of the payload, payload                           of a DATA or INDEX block
             | Reed-Solomon parity of the areas of its codeword              of a PARITY block

VOL1 and HDR1 are 80 bytes of ASCII (ANSI X3.27, ECMA-13). LABEL and END blocks have LABEL_BYTES, all others the label's
block_bytes. HEADER.crc covers the header before it and the whole area; the payload's own CRC is in the area, so that parity
gives it back and a recovered block proves itself.

Image and index are coded files: a stream of payloads cut into groups of k * depth data blocks, each followed by its parity. The
block at position p of a group belongs to codeword p % d, where d is the smaller of depth and the group's data blocks (the last
group may be short: absent data blocks count as zeros). Within a codeword the blocks in order are data rows 0, 1, ... and then
parity rows k, k+1, ... of the Cauchy matrix over GF(2^8), polynomial 0x11D: row i >= k, column j holds 1 / (i xor j).

    image stream := IMAGE, superblock, SEGMENT rows, padding to ALIGN; used part of every segment in the order of the rows, padded to
                    ALIGN; the catalog dump: frames
    frame        := FRAME, FRAME.stored_bytes of body
    decoded body := entries, each ENTRY, key, value
    index stream := INDEX, SEGMENT rows
"""

from firmware.formats.record import Bytes, FormatError, Record, Text

VERSION = 2
MAGIC = b"BTB1"
ALIGN = 4096

BLOCK_BYTES = 1 << 18  # unless the drive takes less
BLOCK_BYTES_MIN = 512
BLOCK_BYTES_MAX = 1 << 20
PARITY_BYTES_MAX = 96 << 20  # m * depth blocks: what correction keeps in memory
LABEL_BYTES = 4096
ANSI_BYTES = 80
LABEL_COPIES = 2
END_COPIES = 2

# Where things lie, in blocks and filemarks from the beginning
LABEL_ADDRESS = 2
IMAGE_ADDRESS = LABEL_ADDRESS + LABEL_COPIES + 1

# HEADER.kind
LABEL_BLOCK = 1
DATA_BLOCK = 2
PARITY_BLOCK = 3
INDEX_BLOCK = 4
INDEX_PARITY = 5
END_BLOCK = 6

HEADER = Record(
    "tape.HEADER",
    (
        ("magic", "4s"),
        ("version", "B"),
        ("kind", "B"),
        ("member", "H"),
        ("image", "16s"),
        ("sequence", "Q"),
        ("group", "I"),
        ("position", "I"),
        ("payload_bytes", "I"),
        ("data_blocks", "Q"),
        ("crc", "I"),
    ),
    "Opens every block but VOL1 and HDR1. image: drawn anew whenever a tape is written, so what an earlier writing left is foreign. "
    "sequence: counts the blocks of this file from 0. group, position: of the coded file. payload_bytes: the rest of the payload is "
    "zeros. data_blocks: of the whole file in index blocks, of the group in parity blocks of the image, else 0. member: LABEL.member.",
)

AREA_OFFSET = HEADER.size
CRC_BYTES = 4
PAYLOAD_OFFSET = AREA_OFFSET + CRC_BYTES

# LABEL.contents
EMPTY = 0
IMAGE_FULL = 1
IMAGE_INCREMENT = 2  # holds what changed since `base`
SET_PARITY = 3  # parity over the other members of the set

# LABEL.flags
ARCHIVE = 1  # never overwritten, whatever expires_ns says
WORM = 2

# LABEL.code
CAUCHY_11D = 1

LABEL = Record(
    "tape.LABEL",
    (
        ("version", "H"),
        ("contents", "B"),
        ("flags", "B"),
        ("volume", "16s"),
        ("appliance", "16s"),
        ("image", "16s"),
        ("set", "16s"),
        ("base", "16s"),
        ("member", "H"),
        ("members", "H"),
        ("parity_members", "H"),
        ("generation", "I"),
        ("created_ns", "q"),
        ("written_ns", "q"),
        ("expires_ns", "q"),
        ("block_bytes", "I"),
        ("code", "B"),
        ("k", "B"),
        ("m", "B"),
        ("depth", "H"),
        ("name", Text(32)),
        ("pool", Text(32)),
        ("owner", Text(64)),
    ),
    "volume: of the cartridge, since created_ns. appliance, owner: who wrote it. image: of this writing, at written_ns. set: of all "
    "cartridges of one copy; this is number `member` of `members` (from 1; 0: not known yet), of which parity_members hold parity. "
    "base: the set that an increment builds on. generation: writings of this cartridge. expires_ns: may be overwritten from then on.",
)

SEGMENT = Record(
    "tape.SEGMENT",
    (("number", "I"), ("used_bytes", "I"), ("offset", "Q")),
    "A segment of the store: its number, the bytes used, where they begin in the image stream. By rising number.",
)

IMAGE = Record(
    "tape.IMAGE",
    (
        ("version", "H"),
        ("superblock_bytes", "I"),
        ("base_bytes", "I"),
        ("segment_bytes", "I"),
        ("segments", "I"),
        ("catalog_offset", "Q"),
    ),
    "Opens the image stream. On the disk, byte x of segment n was at base_bytes + n * segment_bytes + x.",
)

SUPERBLOCK_BYTES_MAX = 4096

# FRAME.codec
RAW = 0
ZSTD = 1

FRAME = Record(
    "tape.FRAME",
    (("codec", "B"), ("last", "B"), ("raw_bytes", "I"), ("stored_bytes", "I"), ("crc", "I")),
    "Opens a piece of the catalog dump. last: 1 for the last one. crc: CRC-32C of the stored body.",
)

FRAME_BYTES = 1 << 18  # decoded; a frame holds whole entries

ENTRY = Record(
    "tape.ENTRY",
    (("table", "B"), ("key_bytes", "H"), ("value_bytes", "I")),
    "One entry of the catalog. table: its number by first mention; NEW_TABLE: the key is the name of the next table.",
)

NEW_TABLE = 0xFF

INDEX = Record(
    "tape.INDEX",
    (
        ("version", "H"),
        ("stream_bytes", "Q"),
        ("data_blocks", "Q"),
        ("image_blocks", "Q"),
        ("stream_crc", "I"),
        ("catalog_offset", "Q"),
        ("catalog_bytes", "Q"),
        ("copy_offset", "Q"),
        ("entries", "Q"),
        ("base_bytes", "I"),
        ("segment_bytes", "I"),
        ("segments", "I"),
        ("label", Bytes(LABEL_BYTES)),
        ("superblock", Bytes(SUPERBLOCK_BYTES_MAX)),
    ),
    "Of the image: bytes of its stream, blocks of data, all blocks, CRC-32C over the payload CRCs (u32 each) in order. Where the "
    "catalog dump lies in the stream, and its second copy (0: none); its entries. The rest as IMAGE. label: a copy of LABEL. superblock: that of the disk.",
)

INDEX_BYTES_MAX = 1 << 23

END = Record(
    "tape.END",
    (
        ("version", "H"),
        ("image_blocks", "Q"),
        ("index_blocks", "Q"),
        ("stream_bytes", "Q"),
        ("stream_crc", "I"),
        ("index_bytes", "Q"),
        ("index_digest", "32s"),
        ("finished_ns", "q"),
        ("next_member", "H"),
        ("label", Bytes(LABEL_BYTES)),
    ),
    "Written last: this tape is complete. index_digest: BLAKE2b-256 of the index stream. next_member: the cartridge that goes on, "
    "0 if none.",
)

_IMPLEMENTATION = b"BOBBIN"
_VOLUME_CHARS = 6


def volume_serial(name: str) -> bytes:
    """The six characters of VOL1 that stand for a longer name."""
    chars = [c if "A" <= c <= "Z" or "0" <= c <= "9" else "-" for c in name.upper()]
    return "".join((chars + [" "] * _VOLUME_CHARS)[:_VOLUME_CHARS]).encode()


def _fields(*parts) -> bytes:
    """Fields (text, width) one after the other, blank padded."""
    block = b""
    for text, width in parts:
        block += text[:width] + b" " * (width - len(text))
    return block


def pack_vol1(name: str) -> bytes:
    """Volume label. Ref: ECMA-13 8.3; label standard version 4."""
    return _fields((b"VOL1", 4), (volume_serial(name), 6), (b"", 14), (_IMPLEMENTATION, 13), (b"", 14), (b"", 28), (b"4", 1))


def pack_hdr1(name: str, generation: int, created: str, expires: str) -> bytes:
    """First file header label; dates as " YYDDD" or "0YYDDD" (from 2000 on). Ref: ECMA-13 8.5."""
    number = ("%04d" % (generation % 10000)).encode()
    return _fields(
        (b"HDR1", 4), (_IMPLEMENTATION + b".IMAGE", 17), (volume_serial(name), 6), (b"0001", 4), (b"0001", 4), (number, 4),
        (b"00", 2), (created.encode(), 6), (expires.encode(), 6), (b" ", 1), (b"000000", 6), (_IMPLEMENTATION, 13), (b"", 7),
    )  # fmt: skip


def parse_vol1(block):
    """(volume serial, implementation), trimmed text, of a VOL1 block, or None if it is none.

    It may be longer: not every chain of drive and host adapter tells the length of a short block.
    """
    raw = bytes(block[:ANSI_BYTES])
    if len(raw) != ANSI_BYTES or raw[:4] != b"VOL1":
        return None
    return _printable(raw[4:10]), _printable(raw[24:37])


def is_ours(implementation: str) -> bool:
    """Whether `parse_vol1` tells of one of our tapes."""
    return implementation == _IMPLEMENTATION.decode()


def _printable(raw: bytes) -> str:
    return "".join([chr(c) if 32 <= c < 127 else "?" for c in raw]).strip()


def check_label(label) -> None:
    """Raises FormatError unless block size and code of a LABEL are within what a reader takes."""
    if label.version != VERSION:
        raise FormatError("tape.LABEL.version: expected %d, got %d" % (VERSION, label.version))
    if label.code != CAUCHY_11D:
        raise FormatError("tape.LABEL.code: expected %d, got %d" % (CAUCHY_11D, label.code))
    if not BLOCK_BYTES_MIN <= label.block_bytes <= BLOCK_BYTES_MAX:
        raise FormatError(
            "tape.LABEL.block_bytes: expected %d to %d, got %d" % (BLOCK_BYTES_MIN, BLOCK_BYTES_MAX, label.block_bytes)
        )
    code = (label.k, label.m, label.depth)
    if min(code) < 1 or label.k + label.m > 255 or label.m * label.depth * label.block_bytes > PARITY_BYTES_MAX:
        raise FormatError("tape.LABEL: expected k, m, depth from 1, k + m <= 255, at most %d MiB of parity, got %d, %d, %d"
                          % ((PARITY_BYTES_MAX >> 20,) + code))  # fmt: skip
