"""Packs out and in: order, limits, and everything that a pack from outside may get wrong."""

import os
import random

import pytest
import zstandard

from agent_pc import packs
from agent_pc.bdm import librsync
from agent_pc.dtm.packer import Packer
from agent_pc.exits import AgentError
from firmware.formats import limits, pack


def _pack(kind=pack.DATA, size=50_000, data=None):
    data = os.urandom(size) if data is None else data
    return data, packs.build(kind, 0, 0, [librsync.sums(data, 8192)], [data])


@pytest.mark.parametrize("data", [b"x" * 100_000, os.urandom(100_000), b"y", b""])
def test_round_trip(data):
    sums = librsync.sums(data, 8192)
    body = packs.build(pack.DATA, 4, 5, [sums], [data])
    opened = packs.open_pack(body)
    assert bytes(opened.raw) == data and (opened.group, opened.first) == (4, 5)
    assert (
        b"".join(opened.items()) == data
        and len(opened.lengths) == sums.count
        and sum(opened.lengths) == sums.length == len(data)
    )
    assert len(body) < 2000 or set(data) != set(b"x")


def test_chunks_of_any_lengths():
    for lengths in ([8192, 100, 8192, 8192, 8192], [100] * 5 + [1], [5, 5, 5, 5, 9], [0, 0, 0, 0, 0], [1, 0, 1, 1, 1]):
        pieces = [os.urandom(length) for length in lengths]
        opened = packs.open_pack(
            packs.build(pack.DATA, 0, 0, [librsync.sums(piece, max(len(piece), 1)) for piece in pieces], pieces)
        )
        assert [bytes(item) for item in opened.items()] == pieces


def test_every_garbled_byte_is_noticed():
    _, body = _pack(data=bytes(range(256)) * 100)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(800):
        garbled = bytearray(body)
        at = rng.randrange(len(garbled))
        if at in range(4, 12):
            continue  # group and first are not covered by what a reader can check
        garbled[at] ^= rng.randrange(1, 256)
        try:
            assert bytes(packs.open_pack(garbled).raw) == bytes(range(256)) * 100  # only a zstd frame's unused bits
        except AgentError:
            pass
    for cut in range(0, len(body), 7):
        with pytest.raises(AgentError):
            packs.open_pack(body[:cut])


def test_a_frame_larger_than_its_header_says_is_not_decoded():
    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    row = pack.LENGTH.pack(100) + pack.NOTHING
    body = pack.HEADER.pack(pack.DATA, pack.ZSTD, 1, 0, 0, 100, len(bomb)) + row + bomb
    with pytest.raises(AgentError, match="content size"):
        packs.open_pack(body)


def test_packer_numbers_and_orders():
    sent = []
    packer = Packer(lambda *row: sent.append(row), 7, (10, 20, 30))
    rng = random.Random(1)
    expected, nodes = 10, 0
    for _ in range(400):
        data = rng.randbytes(rng.choice((10, 5000, 30_000, 250_000)))
        sums = librsync.sums(data, 8192)
        assert packer.chunks(data, sums) == expected
        expected += sums.count
        packer.file(b"object")
        if rng.random() < 0.1:
            assert packer.node(b"node" * 20_000) == (7, 30 + nodes)
            nodes += 1
    packer.flush()
    following = {pack.DATA: 10, pack.FILES: 20, pack.NODES: 30}
    files_before = 0
    for kind, group, first, sums, buffers in sent:
        assert group == 7 and first == following[kind]
        count = sum([part.count for part in sums])
        following[kind] += count
        size = sum(map(len, buffers))
        assert size == sum([part.length for part in sums]) <= limits.PACK_RAW_BYTES and count <= limits.PACK_ITEMS
        files_before = following[pack.FILES] if kind == pack.FILES else files_before
    assert following == {pack.DATA: expected, pack.FILES: 420, pack.NODES: 30 + nodes}


def test_what_a_pack_refers_to_is_sent_before_it():
    sent = []
    packer = Packer(lambda *row: sent.append(row[0]), 1, (0, 0, 0))
    packer.chunks(b"x", librsync.sums(b"x", 8192))
    packer.file(b"f")
    packer.node(b"n")
    packer.flush()
    assert sent == [pack.DATA, pack.FILES, pack.NODES]
