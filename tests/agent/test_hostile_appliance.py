"""An appliance that lies: every answer that the protocol does not allow ends in one error, soon, and nothing is written outside."""

import os
import socket
import ssl
import struct
import threading

import pytest

from agent_pc import packs, tls
from agent_pc.bdm import librsync
from agent_pc.channel import Channel
from agent_pc.exits import AgentError, Cut
from agent_pc.fdm import nodes
from agent_pc.restore import job
from agent_pc.restore.paths import Target
from agent_pc.restore.writer import Writer, Wrong
from agent_pc.session import Session, greet
from firmware.formats import dtf, fileobject, frame, limits, message, pack
from firmware.formats.refusal import Refusal
from hal.linux.identity import make_identity


def _frame(type_: int, request: int, *values, body: bytes | None = None) -> bytes:
    body = message.RECORDS[type_].pack(*values) if body is None else body
    return frame.FRAME.pack(len(body), type_, 0, request) + body


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    certificate, key = make_identity("hostile")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert").write_text(ssl.DER_cert_to_PEM_cert(certificate))
    kind = b"EC PRIVATE KEY" if b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01" not in key[:40] else b"PRIVATE KEY"
    text = ssl.DER_cert_to_PEM_cert(key).encode().replace(b"CERTIFICATE", kind)
    (folder / "key").write_bytes(text)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "cert", folder / "key")
    return made


class Liar:
    """Answers each request with what `answer(type, request, body)` returns; None closes."""

    def __init__(self, context, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._context = context
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        raw, _ = self._listener.accept()
        try:
            with self._context.wrap_socket(raw, server_side=True) as connection:
                file = connection.makefile("rb")
                while head := file.read(frame.FRAME.size):
                    length, type_, _, request = struct.unpack("<IBBH", head)
                    answer = self._answer(type_, request, file.read(length))
                    if answer is None:
                        return
                    connection.sendall(answer)
        except OSError:
            pass
        finally:
            self._listener.close()

    def channel(self) -> Channel:
        return Channel(tls.connect("127.0.0.1", self.port), "test")


_WELCOME = (frame.PROTOCOL, bytes(16), 0, "name", "software")
_ANSWERS = {
    "oversized": lambda type_, request, body: frame.FRAME.pack(limits.FRAME_BYTES + 1, message.WELCOME, 0, request),
    "unknown type": lambda type_, request, body: frame.FRAME.pack(0, 200, 0, request),
    "own type": lambda type_, request, body: frame.FRAME.pack(0, message.SYNC, 0, request),
    "flags": lambda type_, request, body: frame.FRAME.pack(0, message.WELCOME, 1, request),
    "other request": lambda type_, request, body: _frame(message.WELCOME, request + 1, *_WELCOME),
    "other message": lambda type_, request, body: _frame(message.READY, request, "x", ""),
    "short body": lambda type_, request, body: _frame(message.WELCOME, request, body=b"\0" * 5),
    "rest in body": lambda type_, request, body: _frame(
        message.WELCOME, request, body=message.RECORDS[message.WELCOME].pack(*_WELCOME) + b"x"
    ),
    "other protocol": lambda type_, request, body: _frame(message.WELCOME, request, frame.PROTOCOL + 1, *_WELCOME[1:]),
    "unknown refusal": lambda type_, request, body: _frame(message.ERROR, request, 999, 0, "text"),
    "garbage": lambda type_, request, body: os.urandom(5000),
    "cut": lambda type_, request, body: None,
    "half a frame": lambda type_, request, body: _frame(message.WELCOME, request, *_WELCOME)[:10],
}


@pytest.mark.parametrize("name", _ANSWERS)
def test_wrong_answers_are_one_error(context, name):
    connection = tls.connect("127.0.0.1", Liar(context, _ANSWERS[name]).port)
    if name == "half a frame":
        threading.Timer(0.3, connection.shutdown, (socket.SHUT_RDWR,)).start()
    with pytest.raises(AgentError):
        greet(connection, "test")


def test_a_refusal_is_a_refusal_and_the_connection_goes_on(context):
    def answer(type_, request, body):
        if type_ == message.BEGIN:
            return _frame(message.ERROR, request, 5, 7, "busy")
        return _frame(message.WELCOME, request, *_WELCOME)

    channel = Liar(context, answer).channel()
    with pytest.raises(Refusal) as refusal:
        channel.call(message.BEGIN, (0, 0), message.GRANT)
    assert refusal.value.name == "BUSY" and refusal.value.retry_s == 7
    assert channel.call(message.HELLO, (1, ""), message.WELCOME).name == "name"
    channel.close()


def test_an_error_for_a_pack_ends_the_channel(context):
    full = _frame(message.ERROR, 0, 6, 0, "full")
    channel = Liar(context, lambda type_, request, body: full).channel()
    with pytest.raises(Refusal) as refusal:
        for _ in range(1000):
            channel.send(message.PACK, 0, bytes(100_000))
    assert refusal.value.name == "FULL"
    channel.close()


def _session(context, answer) -> Session:
    channel = Liar(context, answer).channel()
    ready = message.RECORDS[message.READY].tuple("pc", "{}")
    return Session(channel, message.RECORDS[message.WELCOME].tuple(*_WELCOME), ready)


def _items(bodies: list, kind: int = pack.NODES) -> bytes:
    return packs.build(kind, 1, 0, [librsync.sums(body, len(body)) for body in bodies], bodies)


@pytest.mark.parametrize("case", ["too many", "too few", "other kind", "lost row", "wrong hash"])
def test_items_that_were_not_asked_for(context, case):
    def answer(type_, request, body):
        wrong = bytearray(_items([b"\0\0\0\0\0"]))
        wrong[-1] ^= 1
        data = {
            "too many": _items([b"a", b"b", b"c"]),
            "too few": _items([b"a"]),
            "other kind": _items([b"a"], pack.FILES),
            "wrong hash": bytes(wrong),
            "lost row": b"",
        }[case]
        first = _frame(message.LOST, request, 0, 1, 1, "x") if case == "lost row" else _frame(message.DATA, request, body=data)
        return first + _frame(message.END, request, 0)

    session = _session(context, answer)
    with pytest.raises(AgentError):
        list(session.items(pack.NODES, [(1, 0), (1, 1)]))
    session.close()


def test_views_that_never_end(context):
    rows = [(1, 0, 0, 0, 0, 0, 0, bytes(64), 0, 0, 0)] * 4096
    session = _session(context, lambda type_, request, body: _frame(message.VIEWS, request, "", rows))
    with pytest.raises(AgentError):
        session.views()
    session.close()


class Status:
    st_mode, st_uid, st_gid, st_mtime_ns, st_ctime_ns, st_dev, st_ino = 0o100644, os.geteuid(), os.getegid(), 5, 6, 7, 8


def _entry(size: int):
    raw = nodes.pack_entry(dtf.REGULAR, 0, 0, Status, b"f", b"", b"", size)
    return nodes.entries(
        nodes.node(dtf.LIST, [nodes.REF.pack(dtf.FILE, 1, 0)], [raw]), [(dtf.FILE, 1, 0)], nodes.NODE.size + nodes.REF.size
    )[0]


def _file(size: int, signature: bytes, runs: list):
    return fileobject.FILE.tuple(size, 8192, 0, 0, 0, 0, signature, runs)


def _written(folder, file, data: bytes) -> Writer:
    writer = Writer(Target(os.fsencode(folder)), (b"f",), _entry(file.size), file)
    opened = packs.open_pack(packs.build(pack.DATA, 1, 0, [librsync.sums(data, 8192)], [data]))
    writer.write(opened, 0, len(opened.lengths))
    return writer


def test_a_file_is_named_only_when_it_is_right(tmp_path):
    data = os.urandom(20_000)
    signature = packs.blake(librsync.sums(data, 8192).rows)
    writer = _written(tmp_path, _file(20_000, signature, [(1, 0, 3)]), data)
    assert os.listdir(tmp_path) != ["f"]
    assert writer.finish() == [] and (tmp_path / "f").read_bytes() == data and os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("case", ["signature", "size", "hole", "missing"])
def test_a_wrong_file_leaves_nothing(tmp_path, case):
    data = os.urandom(20_000)
    signature = packs.blake(librsync.sums(data, 8192).rows)
    file = {
        "signature": _file(20_000, bytes(32), [(1, 0, 3)]),
        "size": _file(20_001, signature, [(1, 0, 3)]),
        "hole": _file(20_000, signature, [(1, 0, 3), fileobject.hole(1 << 50)]),
        "missing": _file(20_000, signature, [(1, 0, 4)]),
    }[case]
    writer = _written(tmp_path, file, data)
    with pytest.raises((Wrong, OSError)):
        writer.finish()
    writer.abandon()
    assert os.listdir(tmp_path) == []


def test_more_data_than_the_object_says_is_not_written(tmp_path):
    with pytest.raises(Wrong):
        _written(tmp_path, _file(100, bytes(32), [(1, 0, 3)]), os.urandom(20_000))
    with pytest.raises(AgentError):
        Writer(Target(os.fsencode(tmp_path)), (b"f",), _entry(0), _file(0, bytes(32), [(1, 0, 0)]))


class Tree(Session):
    """A session that has one view and given nodes."""

    def __init__(self, bodies: list):
        self._bodies = bodies
        self.channel = Closed()

    def views(self, source: str = "disk") -> tuple:
        return "", [message.VIEW.tuple(1, 1, len(self._bodies) - 1, 0, 0, 0, 0, bytes(64), 0, 0, 0)]

    def items(self, kind: int, refs: list, source: str = "disk"):
        return [self._bodies[index] for _, index in refs]


class Closed:
    def check(self) -> None:
        raise Cut("closed")

    def close(self) -> None:
        pass


def _link(name: bytes, target: bytes) -> bytes:
    return nodes.pack_entry(dtf.SYMLINK, 0, 0, Status, name, target, b"", 0)


def test_a_symlink_in_the_tree_is_not_a_way_out(tmp_path):
    """The view holds a link `way` and a directory `way`: what is in the directory must not land behind the link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    inner = nodes.node(dtf.LIST, [nodes.NO_REF], [_link(b"evil", b"x")])
    directory = nodes.pack_entry(dtf.DIRECTORY, 0, 0, Status, b"way", b"", b"", 0)
    refs = [nodes.NO_REF, nodes.REF.pack(dtf.NODE_REF, 1, 0)]
    top = nodes.node(dtf.LIST, refs, [_link(b"way", os.fsencode(outside)), directory])
    result = job.restore(Tree([inner, top]), [], None, os.fsencode(tmp_path / "out"))
    assert os.listdir(outside) == [] and len(result.problems) == 1
    assert os.path.islink(tmp_path / "out" / "way")


def test_a_tree_without_end_ends(tmp_path):
    directory = nodes.pack_entry(dtf.DIRECTORY, 0, 0, Status, b"d", b"", b"", 0)
    top = nodes.node(dtf.LIST, [nodes.REF.pack(dtf.NODE_REF, 1, 0)], [directory])
    with pytest.raises(AgentError, match="deeper"):
        job.restore(Tree([top]), [], None, os.fsencode(tmp_path / "out"))
