"""Brings file objects and chunks of a view from the appliance. The one door to contents: restore and mount fetch through it.

A caller says what it wants in as few calls as it can (many refs, many spans); how that travels is this module's business.
"""

from collections import deque

from agent_pc.bdm import prints
from agent_pc.exits import AgentError
from agent_pc.incoming import Incoming
from agent_pc.views.layout import data_chunks
from firmware.formats import fileobject, pack
from firmware.formats.record import FormatError


class Contents:
    """`source`: "disk" or "tape". Any thread may call; errors as Session's."""

    def __init__(self, session, source: str = "disk"):
        self._session = session
        self._source = source

    def files(self, refs: list):
        """Yield the file object (file.FILE) of each of `refs` [(group, index)] in order; a text in place of one that is lost or wrong."""
        for body in self._session.items(pack.FILES, refs, self._source):
            if body is None:
                yield "its file object is lost"
                continue
            try:
                file = fileobject.FILE.unpack(body)
                data_chunks(file.runs)
                yield file
            except (FormatError, AgentError) as error:
                yield str(error)

    def chunks(self, wanted: list):
        """Yield (data, lengths, problem) for each of `wanted` [(ref, file, first, count)]: chunks first .. first+count-1 of a file,
        holes not counted. data: their bytes, checked; None where `problem` says what is lost."""
        pieces = [(ref, _stretches(file.runs, first, count)) for ref, file, first, count in wanted]
        self._session.learn({piece[0] for _, part in pieces for piece in part}, self._source)
        asked = deque(self._asked(pieces))
        try:
            for *_, count in wanted:
                parts: list = []
                while count:
                    incoming, left = asked[0]
                    step = min(count, left)
                    parts += incoming.take(step)
                    count, asked[0][1] = count - step, left - step
                    if step == left:
                        incoming.end()
                        asked.popleft()
                yield _joined(parts)
        finally:
            for incoming, _ in asked:
                incoming.close()

    def _asked(self, pieces: list):
        """[Incoming, items in it] of each request that `pieces` need."""
        plan, items = self._session.plan(self._source), 0
        for ref, part in pieces:
            for piece in part:
                if plan.full():
                    yield self._ask(plan, items)
                    plan, items = self._session.plan(self._source), 0
                plan.add(*piece, ref)
                items += piece[2]
        if items:
            yield self._ask(plan, items)

    def _ask(self, plan, items: int) -> list:
        reply = self._session.fetch(pack.DATA, plan.rows, self._source)
        return [Incoming(self._session.stream(reply), pack.DATA, plan.rows), items]

    def lengths(self, ref: tuple, count: int) -> list:
        """Length of each of the `count` chunks of file object `ref`, holes left out. From the disk only. Raises Refusal, AgentError."""
        rows = prints.unpack(self._session.prints(self._session.prints_ask(ref), count))
        if len(rows) != count:
            raise AgentError("PROTOCOL", f"appliance: PRINTS: expected {count} rows, got {len(rows)}")
        return [row[0] for row in rows]


def _stretches(runs: list, first: int, count: int) -> list:
    """Runs of chunks first .. first+count-1 of a file with these `runs`, holes not counted."""
    out = []
    for group, start, length in runs:
        if group == fileobject.HOLE_GROUP or not count:
            continue
        skipped = min(first, length)
        first -= skipped
        take = min(count, length - skipped)
        if take:
            out.append((group, start + skipped, take))
            count -= take
    if count:
        raise AgentError("PROTOCOL", f"file object: has {count} chunks fewer than expected")
    return out


def _joined(parts: list) -> tuple:
    problem = next((f"lost: {text}" for data, _, _, text in parts if data is None), None)
    if problem is not None:
        return None, [], problem
    whole = b"".join([data.raw[data.offsets[first] : data.offsets[end]] for data, first, end, _ in parts])
    return whole, [length for data, first, end, _ in parts for length in data.lengths[first:end]], ""
