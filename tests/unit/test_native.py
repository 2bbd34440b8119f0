"""hal.native and hal.linux.libc: pointers, errno, missing libraries."""

from hal import native
from hal.errors import NotReady, Unsupported
from hal.linux.libc import O_CREAT, O_RDWR, check, libc, open_file


def _raised(kind, call, *arguments):
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError("%s was not raised" % kind.__name__)


def test_aligned():
    for nbytes, align in ((1, 4096), (8192, 4096), (100, 64)):
        buffer = native.aligned(nbytes, align)
        assert len(buffer) == nbytes
        assert native.address(buffer) % align == 0
        assert bytes(buffer) == bytes(nbytes)
        buffer[nbytes - 1] = 7


def test_pointer_arguments_are_not_copied():
    target = bytearray(12)
    whole = memoryview(target)
    assert native.address(whole[5:]) == native.address(target) + 5
    for source in (b"world", bytearray(b"world"), memoryview(b"hello world")[6:]):
        libc.memcpy(whole[7:], source, 5)
        assert target == b"\0" * 7 + b"world"
        libc.memcpy(whole[7:], bytes(5), 5)


def test_memory_of_c():
    where = libc.malloc(4)
    view = native.at(where, 4)
    view[0:4] = b"abcd"
    assert native.copy_at(where, 4) == b"abcd"
    libc.free(where)


def test_errno():
    assert libc.close(-1) == -1
    assert native.errno() == 9
    text = _raised(NotReady, open_file, "/nonexistent/disk", O_RDWR)
    assert "/nonexistent/disk" in text


def test_offsets_beyond_32_bits():
    path = "/tmp/bobbin-test-native-%d" % libc.getpid()
    fd = open_file(path, O_RDWR | O_CREAT)
    libc.unlink(path)
    assert check(libc.pwrite(fd, b"far", 3, 5 << 30), "write") == 3
    buffer = bytearray(3)
    assert check(libc.pread(fd, buffer, 3, 5 << 30), "read") == 3
    assert buffer == b"far"
    libc.close(fd)


def test_missing_library_and_function():
    _raised(Unsupported, getattr, native.Library(("libno-such.so.9",), {"f": ("i", "")}), "f")
    _raised(Unsupported, getattr, native.Library(("libc.so.6",), {"no_such_function": ("i", "")}), "no_such_function")
    _raised(AttributeError, getattr, libc, "not_declared")


def test_callback():
    calls = []
    values = bytearray(b"\3\1\2")
    sort = native.Library(("libc.so.6",), {"qsort": ("v", "pLLp")}).qsort
    order = native.callback("i", lambda a, b: calls.append(1) or native.copy_at(a, 1)[0] - native.copy_at(b, 1)[0], "pp")
    sort(values, 3, 1, order)
    assert values == b"\1\2\3" and calls
