"""The frame fuzzer: hostile peers against the live port of the host board. During and after each an honest client must be served, the
log must hold no traceback, and memory must not have grown. BOBBIN_SEED repeats a run."""

import os
import random
import threading
import time

import pytest

from tests.lab import hostile, tree
from tests.lab.appliance import HostAppliance
from tests.lab.door_client import resident_bytes
from tests.lab.wire import Wire, known

_HEAP_BYTES = 48 << 20
_GROWTH_BYTES = 16 << 20  # beyond the interpreter's heap, whose pages count only once touched
_HEAP_GROWTH_BYTES = 4 << 20  # of what is in use
_FILES = {b"a": os.urandom(300000), b"b": b""}
_GOOD = "127.0.0.3"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with HostAppliance(tmp_path_factory.mktemp("hostile"), heap_bytes=_HEAP_BYTES) as appliance:
        appliance.log_in()
        appliance.format_disk()
        yield appliance


def _client(box, name: str):
    code = box.json("client pair " + name)["code"]
    with Wire(("127.0.0.1", box.port), _GOOD) as wire:
        wire.hello()
        return wire.pair(code)


@pytest.fixture(scope="module")
def honest(box):
    """(uuid, token) of a client that the hostile peer does not own; served once before anything is measured."""
    box.json("client add honest")
    identity = _client(box, "honest")
    _serve(box, identity)
    return identity


@pytest.fixture(scope="module")
def target(box, honest):
    box.json("client add mallory")
    return hostile.Target(("127.0.0.1", box.port), _client(box, "mallory"))


def _serve(box, identity) -> None:
    """A backup and its restore."""
    with known(("127.0.0.1", box.port), identity, _GOOD) as wire:
        view = tree.backup(wire, _FILES)
        assert tree.restore(wire, view) == _FILES


class _Honest(threading.Thread):
    """Serves the honest client again and again until `finish`, which raises what went wrong."""

    def __init__(self, box, identity):
        super().__init__(daemon=True)
        self._box, self._identity = box, identity
        self._enough = threading.Event()
        self._error = None
        self.served = 0
        self.start()

    def run(self) -> None:
        try:
            while self.served == 0 or not self._enough.wait(0.2):
                _serve(self._box, self._identity)
                self.served += 1
        except BaseException as error:
            self._error = error

    def finish(self) -> None:
        self._enough.set()
        self.join(60)
        assert not self.is_alive(), "the honest client hangs"
        if self._error:
            raise self._error


def _heap_bytes(box) -> int:
    """In use after a collection."""
    return box.json("show version")["heap_used_bytes"]


def _sessions_end(box) -> None:
    for _ in range(400):
        status = box.json("show status")
        if status["sessions"] == 0:
            assert status["backups"] == 0
            return
        time.sleep(0.05)
    raise AssertionError("%d sessions are left" % status["sessions"])


@pytest.mark.parametrize("attack", hostile.ATTACKS, ids=[attack.__name__ for attack in hostile.ATTACKS])
def test_hostile(box, honest, target, attack):
    seed = int(os.environ.get("BOBBIN_SEED") or random.randrange(1 << 32))
    print("seed", seed)
    _sessions_end(box)
    heap, resident = _heap_bytes(box), resident_bytes(box.process.pid)
    tracebacks = box.log().count("Traceback")
    client = _Honest(box, honest)
    attack(target, random.Random(seed), "127.0.1.%d" % (1 + hostile.ATTACKS.index(attack)))
    client.finish()
    print("honest backups meanwhile:", client.served)
    _sessions_end(box)
    _serve(box, honest)
    grown = _heap_bytes(box) - heap
    assert grown < _HEAP_GROWTH_BYTES, "%d bytes of heap more in use" % grown
    grown = resident_bytes(box.process.pid) - resident
    print("resident bytes more:", grown)
    assert grown < _HEAP_BYTES + _GROWTH_BYTES
    assert box.log().count("Traceback") == tracebacks, box.log()[-4000:]


def test_memory_at_the_end(box, honest):
    """After all of that, altogether."""
    _sessions_end(box)
    assert resident_bytes(box.process.pid) < _HEAP_BYTES + 64 * 1024 * 1024
