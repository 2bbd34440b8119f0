"""guard.frozen and guard.inodes against bytes in memory: whatever is written, the frozen moment reads as it was."""

import os
import tempfile
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_pc.guard.inodes import Inodes
from agent_pc.guard.log import Log
from agent_pc.guard.spool import Spool

_SIZE = 40_000
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, _SIZE), st.integers(0, 9000)),
        st.tuples(st.just("truncate"), st.integers(0, _SIZE), st.just(0)),
        st.tuples(st.just("freeze"), st.just(0), st.just(0)),
        st.tuples(st.just("thaw"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, _SIZE), st.integers(0, 20_000)),
    ),
    max_size=25,
)


class _File:
    def __init__(self, directory: str, spool_bytes: int = 1 << 20):
        self.handle = os.open(os.path.join(directory, "file"), os.O_RDWR | os.O_CREAT)
        self.spool = Spool(directory, spool_bytes)
        self.log = Log(os.path.join(directory, "log"))
        self.inodes = Inodes(os.fstat(self.handle).st_dev, self.log, self.spool)
        self.inode = self.inodes.of(self.handle)

    def write(self, offset: int, data: bytes) -> None:
        self.inodes.write(self.inode, self.handle, offset, offset + len(data), lambda: os.pwrite(self.handle, data, offset))

    def truncate(self, size: int) -> None:
        self.inodes.truncate(self.inode, self.handle, size)

    def freeze(self):
        return self.inodes.freeze(os.dup(self.handle))

    def close(self) -> None:
        os.close(self.handle)
        self.spool.close()
        self.log.close()


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_a_frozen_moment_reads_as_it_was(steps):
    with tempfile.TemporaryDirectory() as directory:
        file, model, held = _File(directory), bytearray(), []
        for number, (step, offset, length) in enumerate(steps):
            if step == "write":
                data = bytes([number + 1]) * length
                file.write(offset, data)
                if data:
                    model.extend(bytes(max(0, offset + length - len(model))))
                    model[offset : offset + length] = data
            elif step == "truncate":
                file.truncate(offset)
                del model[offset:]
                model.extend(bytes(offset - len(model)))
            elif step == "freeze":
                held.append((file.freeze(), bytes(model)))
            elif step == "thaw" and held:
                held.pop(offset % len(held))[0].close()
            elif step == "read":
                for hold, was in held:
                    assert hold.read(offset, length) == was[offset : offset + length]
        for hold, was in held:
            assert not hold.frozen.broken and hold.read(0, 1 << 20) == was
            written = hold.frozen.written
            end = max(len(was), len(model))
            one, two = was.ljust(end, b"\0"), bytes(model).ljust(end, b"\0")
            assert all(one[start:stop] == two[start:stop] for start, stop in written.outside(0, end))
            hold.close()
        file.close()


def test_a_full_spool_breaks_the_moment_and_lets_the_writer_go_on(tmp_path):
    file = _File(str(tmp_path), 100_000)
    file.write(0, b"a" * 200_000)
    hold = file.freeze()
    file.write(0, b"b" * 200_000)
    assert "full" in hold.frozen.broken
    assert os.pread(file.handle, 200_000, 0) == b"b" * 200_000
    hold.close()
    hold = file.freeze()  # the space is back
    file.write(0, b"c" * 50_000)
    assert not hold.frozen.broken and hold.read(0, 200_000) == b"b" * 200_000
    hold.close()
    file.close()


def test_a_reader_beside_writers_never_sees_a_later_byte(tmp_path):
    file = _File(str(tmp_path), 64 << 20)
    file.write(0, b"\0" * (1 << 20))
    hold = file.freeze()
    stop = threading.Event()

    def scribble(lane: int) -> None:
        at = lane * 8192
        while not stop.is_set():
            file.write(at, b"x" * 5000)
            at = (at + 7 * 8192) % (1 << 20)

    threads = [threading.Thread(target=scribble, args=(lane,)) for lane in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        for at in range(0, 1 << 20, 10_000):
            assert not hold.read(at, 10_000).strip(b"\0")
    stop.set()
    for thread in threads:
        thread.join()
    assert b"x" in os.pread(file.handle, 1 << 20, 0)
    hold.close()
    file.close()
