"""The conversation with the appliance, one method for each request. Made by agent_pc/cli.py; used by backup, restore, views.

Raises Refusal for what the appliance refuses, Cut when the connection is gone, AgentError(PROTOCOL) for a wrong answer.
"""

import json
import struct
from collections import deque
from typing import Any, Self

from agent_pc import VERSION, packs, pump, tls
from agent_pc.bdm import prints as sets
from agent_pc.channel import Channel
from agent_pc.exits import AgentError
from agent_pc.incoming import Incoming, Plan
from agent_pc.pool import Pool
from agent_pc.state import State
from firmware.formats import frame, limits, message, pack

_CRC = struct.Struct(message.CRC.code)
_NOMINEE = struct.Struct(message.NOMINEE.code)
SOURCES = {"disk": message.DISK, "tape": message.TAPE}
_DECODERS = 2
_AHEAD = 3  # times _TOGETHER packs decoded ahead of who takes them
_TOGETHER = 4


def greet(connection, where: str, *more: tuple) -> tuple:
    """(Channel, WELCOME, Replies) after HELLO; `more` [(type, *values)] are asked right behind it, before the answer comes."""
    channel = Channel(connection, where)
    try:
        hello = channel.ask(message.HELLO, frame.PROTOCOL, f"bobbin-agent {VERSION}")
        replies = [channel.ask(*request) for request in more]
        welcome = hello.one(message.WELCOME)
        if welcome.protocol != frame.PROTOCOL:
            raise AgentError(
                "PROTOCOL",
                f"appliance {where}: expected protocol {frame.PROTOCOL}, got {welcome.protocol}; update the older side",
            )
    except BaseException:
        channel.close()
        raise
    return channel, welcome, replies


class Session:
    """Authenticated. `name` of the client, `policy` (dict), `welcome` (wire.WELCOME)."""

    def __init__(self, channel: Channel, welcome, ready):
        self.channel = channel
        self.welcome = welcome
        self.name = ready.name
        self.policy = _json(ready.policy or "{}", "policy")
        self._mine: dict = {}  # (source, BDF id) -> whether it is this client's
        self._pool = Pool(_DECODERS, "decode")

    @classmethod
    def open(cls, state: State, pumped: bool = False) -> "Session":
        """Connect, check the certificate before anything is sent, authenticate. `pumped`: much will be received (agent_pc/pump.py)."""
        where = f"{state.host}:{state.port}"
        connection = tls.connect(state.host, state.port)
        tls.check(connection, state.certificate, where)
        connection = pump.start(connection) if pumped else connection
        channel, welcome, replies = greet(connection, where, (message.AUTH, state.client, state.token))
        try:
            return cls(channel, welcome, replies[0].one(message.READY))
        except BaseException:
            channel.close()
            raise

    def close(self) -> None:
        self.channel.close()
        self._pool.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # -- backup

    def begin(self, files: int = 0, size: int = 0):
        """GRANT. Raises Refusal BUSY with retry_s."""
        return self.channel.call(message.BEGIN, (files, size), message.GRANT)

    def held_ask(self, crcs: bytes):
        """Reply for the nominees of `crcs` (packed wire.CRC); give it to `nominees`."""
        return self.channel.ask(message.RFE_ASK, crcs)

    def nominees(self, reply):
        """RFE_NOMINEES."""
        return self._one(reply, message.RFE_NOMINEES)

    def holds(self, ref: tuple, crc: int) -> bool:
        """Whether the client's own file object `ref` (group, index) with this CRC still exists."""
        nominees = self.nominees(self.held_ask(_CRC.pack(crc))).nominees
        return any(row[1:3] == ref[::-1] for row in _NOMINEE.iter_unpack(nominees))

    def prove_ask(self, batch: int, proofs: bytes):
        """Reply for the verdicts on `proofs` (packed wire.PROOF); give it to `proven`."""
        return self.channel.ask(message.RFE_PROVE, batch, proofs)

    def proven(self, reply, count: int) -> bytes:
        """A byte for each of `count` proofs: 1 if it is granted."""
        verdicts = self._one(reply, message.RFE_PROVEN).verdicts
        self._same_count("RFE_PROVEN", count, len(verdicts))
        return verdicts

    def _one(self, reply, expected: int):
        """The one message that answers a request."""
        _, value = reply.get(expected)
        reply.done()
        return value

    def commit(self, root: tuple, time_ns: int, files: int, size: int, label: str = ""):
        """COMMITTED: the view is durable and listed."""
        return self.channel.call(message.COMMIT, (root[0], root[1], time_ns, files, size, label), message.COMMITTED)

    def heal_wanted(self) -> list:
        """wire.WANT tuples: damaged items that the appliance would like to have back."""
        return self.channel.call(message.HEAL_GET, (), message.HEAL_WANTED).wants

    def heal_pack(self, body: bytes) -> None:
        """A pack of wanted items. No reply."""
        self.channel.send(message.HEAL_PACK, 0, body)

    def heal_end(self) -> int:
        """Packs that are whole again."""
        return self.channel.call(message.HEAL_END, (), message.HEALED).packs

    def _same_count(self, what: str, asked: int, came: int) -> None:
        if asked != came:
            raise AgentError("PROTOCOL", f"appliance: {what}: expected {asked} rows, got {came}")

    # -- reading

    def prints_ask(self, ref: tuple):
        """Reply for the fingerprint set of file object `ref`; give it to `prints`."""
        return self.channel.ask(message.PRINTS_GET, *ref)

    def prints(self, reply, chunks: int) -> bytes:
        """Packed fingerprint set (bdm.prints) of a file of `chunks`, in file order."""
        out, count = [], 0
        while True:
            _, value = reply.get(message.PRINTS)
            out.append(sets.pack(value.prints))
            count += len(value.prints)
            if value.last:
                reply.done()
                return b"".join(out)
            if not value.prints or count > chunks:
                raise AgentError("PROTOCOL", f"appliance: PRINTS: expected {chunks} rows, got {count} and more")

    def views(self, source: str = "disk") -> tuple:
        """(tape label, [wire.VIEW tuples by number])."""
        label, after = "", 0
        out: list[Any] = []
        while True:
            answer = self.channel.call(message.VIEWS_GET, (SOURCES[source], after), message.VIEWS)
            label = answer.label
            rows: list[Any] = [message.VIEW.tuple(*row) for row in answer.views]
            if any(row.view <= after for row in rows):
                raise AgentError("PROTOCOL", "appliance: VIEWS: expected numbers above the one asked after")
            out.extend(rows)
            if len(rows) < 4096:
                return label, sorted(out)
            after = out[-1].view

    def plan(self, source: str = "disk") -> Plan:
        """An empty request for items of this client's views."""
        return Plan(lambda group: self._is_mine(group, source))

    def learn(self, groups, source: str = "disk") -> None:
        """Ask at once which of `groups` (BDF ids) are this client's own."""
        fresh = sorted({(source, group) for group in groups}.difference(self._mine))
        for at in range(0, len(fresh), limits.REF_ROWS):
            part = fresh[at : at + limits.REF_ROWS]
            answer = self.channel.call(message.OWNED_GET, (SOURCES[source], [(group,) for _, group in part]), message.OWNED)
            self._same_count("OWNED", len(part), len(answer.owned))
            self._mine.update({key: row[0] == 1 for key, row in zip(part, answer.owned, strict=True)})

    def _is_mine(self, group: int, source: str) -> bool:
        if (source, group) not in self._mine:
            self.learn([group], source)
        return self._mine[source, group]

    def fetch(self, kind: int, rows: list, source: str = "disk"):
        """Reply for the items of `rows` (Plan.rows, at most limits.REF_ROWS); give it to `stream`."""
        return self.channel.ask(message.ITEMS_GET, SOURCES[source], kind, rows)

    def items(self, kind: int, refs: list, source: str = "disk"):
        """Yield bytes of each item of `refs` [(group, index)], in order; None for one that is lost. Asks one batch ahead."""
        batches = [refs[at : at + limits.REF_ROWS // 8] for at in range(0, len(refs), limits.REF_ROWS // 8)]
        asked: deque = deque()
        try:
            for batch in batches:
                asked.append((kind, *self._ask(kind, batch, source), len(batch)))
                if len(asked) > 1:
                    yield from self._items(*asked.popleft())
            while asked:
                yield from self._items(*asked.popleft())
        finally:
            for _, reply, _, _ in asked:
                reply.abandon()

    def _ask(self, kind: int, refs: list, source: str) -> tuple:
        if kind != pack.NODES:  # nodes are never shared
            self.learn({group for group, _ in refs}, source)
        plan = Plan((lambda group: True) if kind == pack.NODES else lambda group: self._is_mine(group, source))
        for group, index in refs:
            plan.add(group, index, 1)
        return self.fetch(kind, plan.rows, source), plan.rows

    def _items(self, kind: int, reply, rows: list, count: int):
        incoming = Incoming(self.stream(reply), kind, rows)
        for data, first, end, _ in incoming.take(count):
            if data is None:
                yield from [None] * end
            else:
                yield from map(bytes, data.items(first, end))
        incoming.end()

    def stream(self, reply):
        """Yield ("data", packs.Opened) and ("lost", wire.LOST) until END. Packs are decoded and checked ahead, by other threads."""
        coming: deque = deque()
        ended = False
        try:
            while coming or not ended:
                while not ended and len(coming) < _AHEAD:
                    frames = reply.get_some(_TOGETHER, message.DATA, message.LOST, message.END)
                    ended = any(type_ == message.END for type_, _ in frames)
                    coming.append(self._pool.submit(_decoded, frames))
                if coming:
                    yield from coming.popleft().result()
        finally:
            reply.done() if ended else reply.abandon()

    def status(self) -> dict:
        """What the appliance says of itself."""
        return _json(self.channel.call(message.STATUS_GET, (), message.STATUS).status, "status")


def _decoded(frames: list) -> list:
    """What `Session.stream` yields of frames [(type, pack or message)]."""
    return [
        ("data", packs.open_pack(value)) if type_ == message.DATA else ("lost", value)
        for type_, value in frames
        if type_ != message.END
    ]


def _json(text: str, what: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AgentError("PROTOCOL", f"appliance: {what}: expected a JSON object, got {text[:40]!r}")
    return value
