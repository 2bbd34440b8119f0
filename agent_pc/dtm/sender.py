"""Compresses packs side by side and sends them in order, at the granted rate. Used by agent_pc/backup.py."""

import time

from agent_pc import packs
from agent_pc.dtm.line import Line
from agent_pc.pool import Pool
from firmware.formats import message, pack

_COMPRESSORS = 2
_QUEUE_PACKS = 12
_SYNC_BYTES = 64 << 20
_SYNC_FILES = 8192  # what is not known to have arrived is kept in memory
_BURST_S = 0.5
_SILENT_S = 60  # the appliance gives up whoever says nothing for long


class Sender:
    """`send` by the packer's thread; `run` is the sending thread. `confirmed(synced)` hears what is durable."""

    def __init__(self, line: Line, channel, rate_bytes_s: int, confirmed):
        self._line = line
        self._channel = channel
        self._rate = rate_bytes_s
        self._confirmed = confirmed
        self._queue = line.pipe(_QUEUE_PACKS)
        self._pool = Pool(_COMPRESSORS, "compress")
        self._synced = None
        self._since_sync = 0
        self._files = 0  # file objects since then
        self._due = time.monotonic()
        self._spoke = time.monotonic()
        self.packs = 0

    def send(self, kind: int, group: int, first: int, sums: list, buffers: list) -> None:
        """Queue a pack; waits while the queue is full."""
        files = sum([part.count for part in sums]) if kind == pack.FILES else 0
        self._queue.put((files, self._pool.submit(packs.build, kind, group, first, sums, buffers)))

    def finish(self) -> None:
        """No more packs."""
        self._queue.put(None)

    def close(self) -> None:
        self._pool.stop()

    def run(self) -> None:
        """Until `finish`; everything is with the TLS connection then."""
        while (row := self._queue.get(self._idle)) is not None:
            body = row[1].result()
            self._wait(len(body))
            self._channel.send(message.PACK, 0, body)
            self._spoke = time.monotonic()
            self.packs += 1
            self._since_sync += len(body)
            self._files += row[0]
            if self._since_sync >= _SYNC_BYTES or self._files >= _SYNC_FILES:
                self._sync()
        self._settle()

    def _idle(self) -> None:
        """A long scan finds nothing to send: say so."""
        if time.monotonic() - self._spoke > _SILENT_S:
            self._sync()
            self._spoke = time.monotonic()

    def _sync(self) -> None:
        """Ask for durability; the answer is looked at when the next one is asked."""
        self._settle()
        self._synced = self._channel.ask(message.SYNC)
        self._since_sync = self._files = 0

    def _settle(self) -> None:
        if self._synced is not None:
            _, synced = self._synced.get(message.SYNCED)
            self._confirmed(synced)
            self._synced.done()
            self._synced = None

    def _wait(self, size: int) -> None:
        """Hold to the granted rate."""
        if not self._rate:
            return
        now = time.monotonic()
        self._due = max(self._due, now - _BURST_S) + size / self._rate
        if self._due > now:
            self._line.stopped.wait(self._due - now)
