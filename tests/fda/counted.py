"""How much of large files a backup read. A fixture for tests/fda and tests/guard."""

import os

import pytest

from agent_pc.bdm import contents

_LARGE = 1 << 20  # what a view says of the PC is smaller


@pytest.fixture
def read(monkeypatch):
    """Bytes, in a list of one."""
    counted = [0]
    blocks = contents.blocks

    def counting(handle, offset, length):
        large = os.fstat(handle).st_size >= _LARGE
        for block in blocks(handle, offset, length):
            counted[0] += len(block) if large else 0
            yield block

    monkeypatch.setattr(contents, "blocks", counting)
    return counted
