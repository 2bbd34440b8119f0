"""The guarded mount as a guard of the active file manager: it is in the table of afm.sources."""

from agent_pc.afm.guard import Frozen, Guard
from agent_pc.guard import client
from firmware.formats import dtf


class GuardedMount(Guard):
    """The mounts that there are when a backup begins."""

    least_bytes = 1 << 18  # smaller files are read at one go

    def __init__(self):
        self._mounts = client.mounts()

    def open(self, path: bytes) -> Frozen | None:
        found = client.open_frozen(path, self._mounts) if self._mounts else None
        return Held(*found) if found is not None else None


class Held(Frozen):
    """Frozen by the mount, as long as its spool had room."""

    def verdict(self) -> tuple[int, str]:
        broken = client.broken(self.handle)
        return (dtf.UNGUARDED, f"changed while it was read: {broken}") if broken else super().verdict()
