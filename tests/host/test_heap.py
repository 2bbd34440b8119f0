"""The appliance's heap stays small and in one piece, whatever went through it."""

from agent_pc import state
from tests.bench.scale.fill import Filler, Plan
from tests.chain.pc import Pc
from tests.lab.appliance import HostAppliance

_MOST_BYTES = 36 << 20  # interpreter, libraries and buffers take 18; the heap could be 48


def test_garbage_does_not_fill_the_heap(tmp_path):
    with HostAppliance(tmp_path / "appliance", heap_bytes=48 << 20) as box:
        box.log_in()
        box.format_disk()
        Pc("pc", tmp_path / "pc").pair(box)
        held = state.load(str(tmp_path / "pc"))
        filler = Filler(("127.0.0.1", box.port), (held.client, held.token), Plan(60000, 1, 0.2), 1)
        filler.first()
        filler.close()
        assert box.ask("show version")["process_peak_bytes"] < _MOST_BYTES
