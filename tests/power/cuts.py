"""Power cuts while a workload runs: what the disk and the catalog may hold after each. Shared by the tests of this folder."""

import os
import random

_SEED = os.environ.get("BOBBIN_SEED")


def seed() -> int:
    """A fresh seed, or that of BOBBIN_SEED; printed."""
    chosen = int(_SEED) if _SEED else random.SystemRandom().randrange(1 << 32)
    print("BOBBIN_SEED=%d" % chosen)
    return chosen


async def sample(kind, number: int, wanted: int, fates: int) -> list:
    """Exactly `wanted` states (image, catalog storage, *Workload.state()) out of all that a `kind`(seed, on_event) workload passes
    through, `fates` for each write or flush. The workload goes on until there are enough."""
    states = []
    rng = random.Random(number ^ 0x5EED)

    def on_event(_):
        for _ in range(fates):
            states.append((workload.machine.disk.power_cut(rng), workload.storage.fork(), *workload.state()))

    workload = kind(number, on_event)
    await workload.run(lambda: len(states) < wanted)
    return rng.sample(states, wanted)
