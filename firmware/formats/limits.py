"""Bounds that both sides keep: sizes of packs, frames and names, and the chunk size of a file."""

PACK_ITEMS = 1024  # items in one pack
PACK_RAW_BYTES = 1 << 20  # decoded bytes of one pack
PACK_AIM_BYTES = 1 << 18  # what an agent fills a pack to: good compression, one read gives a small file back
ITEM_BYTES = PACK_RAW_BYTES  # one chunk, file object or node
CHUNK_BYTES = 1 << 17  # the longest chunk

FRAME_BYTES_UNKNOWN = 1024  # body of a frame before authentication
FRAME_BYTES = PACK_RAW_BYTES + 64 * PACK_ITEMS  # body of a frame after it

FILE_RUNS = 65536  # runs in one file object
NODE_ENTRIES = 4096  # entries in one DTF node
NAME_BYTES = 4096  # one path component, with room for foreign filesystems
TREE_DEPTH = 512  # directories below a view's root

RFE_ROWS = 512  # files in one question whether they are held already
RFE_NOMINEES = 2  # file objects named for one of them
RFE_BATCHES = 8  # questions whose proofs may be owed at a time
PROOF_BYTES = 4096  # bytes of one challenged range
HEAL_ROWS = 4096  # items asked for in one conversation
REF_ROWS = 4096  # references in one request

# (file size up to this many bytes, chunk size in bytes). Small files change as a whole, so one chunk each and few rows;
# in-place databases write pages of 8 KiB; above that the fingerprint set (12 bytes a chunk) must stay small.
CHUNK_TABLE = (
    (1 << 15, 1 << 15),
    (1 << 32, 1 << 13),
    (1 << 36, 1 << 15),
    (1 << 64, 1 << 17),
)


def chunk_size(file_size: int) -> int:
    """Bytes per chunk for a file of `file_size` bytes stored for the first time."""
    for bound, size in CHUNK_TABLE:
        if file_size <= bound:
            return size
    return CHUNK_TABLE[-1][1]
