"""firmware.net.session and its handlers over the real store on a simulated disk: states, limits, refusals, endings."""

import hashlib
import json
import struct

from firmware.formats import dtf, message, pack, pairing
from firmware.formats.frame import FRAME, PROTOCOL
from firmware.formats.refusal import CODES
from firmware.net import server, session
from firmware.net.channel import body_bound
from firmware.store.packs import table_of
from hal.loop import now_ms, sleep_ms
from tests.lab.door import stored_door

_NONCE = bytes(16)
_EMPTY_LIST = dtf.NODE.pack(dtf.LIST, 0)


def _proof(door, code: str, label: bytes = pairing.AGENT_LABEL) -> bytes:
    digest = hashlib.sha256(door.identity.certificate).digest()
    return door.machine.processor.blake2b(pairing.statement(label, digest, _NONCE), pairing.parse_code(code)[1].encode())


async def _paired(door, name: str = "pc"):
    """(uuid, token) of a new client, paired through the door."""
    code = door.pairing.new_code(await door.store.add_client(name))
    agent = door.connect()
    await agent.hello()
    answer, values = await agent.ask("PAIR", _NONCE, _proof(door, code), "host")
    assert answer == "PAIRED" and values.name == name
    assert values.proof == _proof(door, code, pairing.APPLIANCE_LABEL)
    await agent.connection.close()
    return values.uuid, values.token


async def _ready(door, identity=None):
    agent = door.connect()
    answer, _ = await agent.enter(identity or await _paired(door))
    assert answer == "READY"
    return agent


async def _granted(door, identity=None):
    agent = await _ready(door, identity)
    answer, grant = await agent.ask("BEGIN", 1, 1)
    assert answer == "GRANT", grant
    return agent, grant


def _node_pack(door, grant) -> bytes:
    item = table_of(door.machine.processor, [_EMPTY_LIST])
    size = len(_EMPTY_LIST)
    return pack.HEADER.pack(pack.NODES, pack.RAW, 1, grant.group, grant.next_node, size, size) + item + _EMPTY_LIST


async def _backed_up(door, identity):
    """(agent, COMMITTED) of a backup of an empty directory."""
    agent, grant = await _granted(door, identity)
    await agent.send_body("PACK", _node_pack(door, grant))
    answer, committed = await agent.ask("COMMIT", grant.group, grant.next_node, 5, 0, 0, "")
    assert answer == "COMMITTED", committed
    return agent, committed


async def _gone(door) -> None:
    """Until every session has ended."""
    for _ in range(500):
        if not door.server.sessions:
            return
        await sleep_ms(10)
    raise AssertionError("%d sessions are left" % len(door.server.sessions))


async def _refused(agent, name: str, closes: bool) -> None:
    answer, values, _ = await agent.receive()
    assert answer == "ERROR" and values.code == CODES[name], (answer, values)
    if closes:
        await agent.connection.close()


async def _reach(door, state: str, identity):
    agent = door.connect()
    steps = {session.NEW: 0, session.GREETED: 1, session.PAIRED: 2, session.KNOWN: 3, session.BACKUP: 4}[state]
    if steps >= 1:
        await agent.hello()
    if steps == 2:
        code = door.pairing.new_code(door.store.client_by_uuid(identity[0]))
        assert (await agent.ask("PAIR", _NONCE, _proof(door, code), "host"))[0] == "PAIRED"
    if steps >= 3:
        assert (await agent.ask("AUTH", *identity))[0] == "READY"
    if steps >= 4:
        assert (await agent.ask("BEGIN", 1, 1))[0] == "GRANT"
    assert agent.session.state == state
    return agent


async def test_every_message_in_every_wrong_state_ends_the_session():
    door = await stored_door()
    tried = 0
    for state in (session.NEW, session.GREETED, session.KNOWN, session.BACKUP):
        identity = await _paired(door, "pc-" + state)
        for type_ in list(range(256)):
            if type_ in session.legal(state) or (type_ > 60 and type_ % 37):
                continue
            agent = await _reach(door, state, identity)
            await agent.connection.write(FRAME.pack(0, type_, 0, 5), 1000)
            await _refused(agent, "PROTOCOL", True)
            await _gone(door)
            tried += 1
    assert tried > 100
    assert door.server.slots.running() == 0


async def test_paired_may_only_authenticate():
    door = await stored_door()
    agent = await _reach(door, session.PAIRED, await _paired(door))
    await agent.send("PAIR", _NONCE, bytes(32), "host")
    await _refused(agent, "PROTOCOL", True)


async def test_lengths_beyond_the_bound_are_refused_unread():
    door = await stored_door()
    identity = await _paired(door)
    for state in (session.NEW, session.GREETED, session.KNOWN, session.BACKUP):
        for type_ in session.legal(state):
            for length in (body_bound(type_) + 1, 0xFFFFFFFF):
                agent = await _reach(door, state, identity)
                held = len(agent.session.channel._own)
                await agent.connection.write(FRAME.pack(length, type_, 0, 5), 1000)
                await _refused(agent, "LIMIT", True)
                assert len(agent.session.channel._own) == held
                await _gone(door)


async def test_garbled_bodies():
    door = await stored_door()
    identity = await _paired(door)
    for state, name, refusal in (
        (session.NEW, "HELLO", "PROTOCOL"),
        (session.GREETED, "AUTH", "PROTOCOL"),
        (session.KNOWN, "ITEMS_GET", "PROTOCOL"),
        (session.BACKUP, "RFE_ASK", "PROTOCOL"),
        (session.BACKUP, "PACK", "CORRUPT"),
    ):
        agent = await _reach(door, state, identity)
        await agent.send_body(name, b"\xff" * 13)
        await _refused(agent, refusal, True)
        await _gone(door)


async def test_backup_and_what_it_gives_back():
    door = await stored_door()
    identity = await _paired(door)
    agent, committed = await _backed_up(door, identity)
    assert door.server.slots.running() == 0
    answer, found = await agent.ask("VIEWS_GET", message.DISK, 0)
    assert answer == "VIEWS" and found.label == "" and [row[0] for row in found.views] == [committed.view]
    view = found.views[0]
    await agent.send("ITEMS_GET", message.DISK, pack.NODES, [(view[1], view[2], 1, 0, 0)])
    answer, body, _ = await agent.receive()
    assert answer == "DATA" and bytes(body[-len(_EMPTY_LIST) :]) == _EMPTY_LIST
    assert (await agent.receive())[0] == "END"
    answer, found = await agent.ask("STATUS_GET")
    status = json.loads(found.status)
    assert status["client"] == "pc" and status["last_view"]["view"] == committed.view and status["tape"] is None
    assert 0 < status["free_bytes"] <= status["capacity_bytes"]


async def test_refusals_that_keep_the_connection():
    door = await stored_door()
    identity = await _paired(door)
    agent, _ = await _granted(door, identity)
    other = await _ready(door, identity)
    for name, values, refusal in (
        ("BEGIN", (1, 1), "BUSY"),
        ("VIEWS_GET", (message.TAPE, 0), "NO_TAPE"),
        ("PRINTS_GET", (9999, 0), "NOT_FOUND"),
    ):
        await other.send(name, *values)
        await _refused(other, refusal, False)
        assert (await other.ask("STATUS_GET"))[0] == "STATUS"
    await agent.send("COMMIT", 999, 0, 5, 0, 0, "")
    await _refused(agent, "NOT_FOUND", False)
    assert (await agent.ask("ABANDON"))[0] == "ABANDONED"
    assert door.server.slots.running() == 0


async def test_wrong_sources_and_kinds():
    door = await stored_door()
    identity = await _paired(door)
    for name, values in (("VIEWS_GET", (2, 0)), ("ITEMS_GET", (0, 3, [])), ("ITEMS_GET", (7, 0, [])), ("OWNED_GET", (7, []))):
        agent = await _ready(door, identity)
        await agent.send(name, *values)
        await _refused(agent, "PROTOCOL", True)
        await _gone(door)


async def test_a_refused_pack_ends_the_session_and_keeps_the_backup():
    door = await stored_door()
    identity = await _paired(door)
    agent, grant = await _granted(door, identity)
    bad = bytearray(_node_pack(door, grant))
    bad[-1] ^= 1
    for _ in range(3):  # the ones behind it are on their way already
        await agent.send_body("PACK", bad)
    await _refused(agent, "CORRUPT", True)
    await _gone(door)
    assert door.server.slots.running() == 0
    _, again = await _granted(door, identity)
    assert again.group == grant.group


async def test_a_cut_backup_is_continued():
    door = await stored_door()
    identity = await _paired(door)
    agent, grant = await _granted(door, identity)
    await agent.send_body("PACK", _node_pack(door, grant))
    assert tuple((await agent.ask("SYNC"))[1]) == (0, 0, 1)
    await agent.connection.close()
    await _gone(door)
    agent, again = await _granted(door, identity)
    assert (again.group, again.next_node) == (grant.group, 1)
    assert (await agent.ask("COMMIT", again.group, 0, 5, 0, 0, ""))[0] == "COMMITTED"


async def test_what_arrived_before_a_cut_is_not_asked_for_again():
    """Without a SYNC; and the client is back before the disk has it, with the only slot still taken."""
    door = await stored_door()
    await door.config.set("backup.sessions", "1")
    identity = await _paired(door)
    agent, grant = await _granted(door, identity)
    await agent.send_body("PACK", _node_pack(door, grant))
    assert (await agent.ask("STATUS_GET"))[0] == "STATUS"  # the pack is in
    door.store.disk.delay_ms = 100
    await agent.connection.close()
    again = await _ready(door, identity)
    answer, more = await again.ask("BEGIN", 1, 1)
    assert answer == "GRANT" and (more.group, more.next_node) == (grant.group, 1), more
    door.store.disk.delay_ms = 0
    assert (await again.ask("COMMIT", more.group, 0, 5, 0, 0, ""))[0] == "COMMITTED"
    assert door.server.slots.running() == 0 and door.server.leaving == []


async def test_half_a_frame_before_a_cut_takes_nothing_with_it():
    door = await stored_door()
    identity = await _paired(door)
    agent, grant = await _granted(door, identity)
    body = _node_pack(door, grant)
    await agent.send_body("PACK", body)
    await agent.connection.write(FRAME.pack(len(body), message.PACK, 0, 9) + body[:-1], 1000)
    await agent.connection.close()
    await _gone(door)
    _, again = await _granted(door, identity)
    assert (again.group, again.next_node) == (grant.group, 1)


async def test_a_backup_that_says_nothing_loses_its_slot():
    """What arrived stays; who is silent without a slot may go on."""
    door = await stored_door()
    identity = await _paired(door)
    quiet = await _ready(door, identity)
    session.SILENT_MS, held = 50, session.SILENT_MS
    try:
        agent, grant = await _granted(door, identity)
        await agent.send_body("PACK", _node_pack(door, grant))
        await _refused(agent, "PROTOCOL", True)
    finally:
        session.SILENT_MS = held
    for _ in range(100):
        await sleep_ms(10)
        if not door.server.slots.running():
            break
    assert door.server.slots.running() == 0
    answer, again = await quiet.ask("BEGIN", 1, 1)
    assert answer == "GRANT" and (again.group, again.next_node) == (grant.group, 1)


async def test_a_silent_backup_gives_way():
    door = await stored_door()
    identity = await _paired(door)
    silent, grant = await _granted(door, identity)
    silent.session.since_ms = now_ms() - server.TAKE_OVER_MS - 1
    _, again = await _granted(door, identity)
    assert again.group == grant.group
    await _refused(silent, "BUSY", True)


async def test_another_clients_items_look_absent():
    door = await stored_door()
    _, _ = await _backed_up(door, await _paired(door, "one"))
    view = door.store.views(door.store.client_by_name("one").id)[0]
    stranger = await _ready(door, await _paired(door, "two"))
    texts = []
    for ref in ((view[1], view[2]), (view[1] + 1000, view[2])):
        await stranger.send("ITEMS_GET", message.DISK, pack.NODES, [ref + (1, 0, 0)])
        answer, found, _ = await stranger.receive()
        texts.append((answer, found.text.replace(str(ref[0]), "N")))
        if answer == "LOST":
            assert (await stranger.receive())[0] == "END"
    assert texts[0] == texts[1] and texts[0][0] in ("ERROR", "LOST"), texts
    answer, found = await stranger.ask("VIEWS_GET", message.DISK, 0)
    assert found.views == []


async def test_proofs_of_nothing_look_like_wrong_ones():
    door = await stored_door()
    agent, _ = await _granted(door, await _paired(door))
    answer, nominees = await agent.ask("RFE_ASK", struct.pack("<II", 1, 2))
    assert (answer, bytes(nominees.nominees)) == ("RFE_NOMINEES", b"")
    proofs = message.PROOF.pack(0, b"d" * 16) + message.PROOF.pack(9, b"e" * 16)
    for batch in (nominees.batch, 77, 77):
        answer, proven = await agent.ask("RFE_PROVE", batch, proofs)
        assert (answer, proven.verdicts) == ("RFE_PROVEN", bytes(2))


async def test_slots_are_bounded():
    door = await stored_door()
    await door.config.set("backup.sessions", "1")
    agent, _ = await _granted(door, await _paired(door, "one"))
    other = await _ready(door, await _paired(door, "two"))
    await other.send("BEGIN", 1, 1)
    answer, values, _ = await other.receive()
    assert values.code == CODES["BUSY"] and values.retry_s > 0
    assert (await agent.ask("ABANDON"))[0] == "ABANDONED"
    assert (await other.ask("BEGIN", 1, 1))[0] == "GRANT"


async def test_connections_of_one_client_are_bounded():
    door = await stored_door()
    identity = await _paired(door)
    await _gone(door)
    held = []
    for _ in range(server.SESSIONS_CLIENT):
        held.append(await _ready(door, identity))
    agent = door.connect()
    await agent.hello()
    await agent.send("AUTH", *identity)
    await _refused(agent, "BUSY", True)
    await held[0].connection.close()
    for _ in range(100):
        await sleep_ms(10)
        if len(door.server.sessions) == len(held) - 1:
            break
    await _ready(door, identity)


async def test_pairing_again_ends_the_sessions_of_the_old_token():
    door = await stored_door()
    identity = await _paired(door)
    old = await _ready(door, identity)
    agent = door.connect()
    await agent.hello()
    code = door.pairing.new_code(door.store.client_by_uuid(identity[0]))
    await agent.send("PAIR", _NONCE, _proof(door, code), "host")
    await _refused(old, "AUTH", True)
    answer, paired, _ = await agent.receive()
    assert answer == "PAIRED"
    assert (await agent.ask("AUTH", paired.uuid, paired.token))[0] == "READY"


async def test_repeated_failures_are_slowed_down():
    door = await stored_door()
    identity = await _paired(door)
    names = []
    for _ in range(6):
        agent = door.connect("192.0.2.66:1")
        await agent.hello()
        await agent.send("AUTH", identity[0], bytes(32))
        _, values, _ = await agent.receive()
        names.append(values.code)
        await agent.connection.close()
    assert names == [CODES["AUTH"]] * 4 + [CODES["BUSY"]] * 2
    assert await _ready(door, identity)


async def test_shutdown_is_said_and_the_backup_stays():
    door = await stored_door()
    identity = await _paired(door)
    agent, grant = await _granted(door, identity)
    agent.session.end(session.Refusal("SHUTDOWN", "going down", 30))
    await _refused(agent, "SHUTDOWN", True)
    await _gone(door)
    _, again = await _granted(door, identity)
    assert again.group == grant.group


async def test_silence_before_authentication_ends():
    door = await stored_door()
    session.ENTRY_MS, held = 50, session.ENTRY_MS
    try:
        agent = door.connect()
        await agent.connection.write(b"\1", 100)
        await _refused(agent, "PROTOCOL", True)
        await _gone(door)
    finally:
        session.ENTRY_MS = held


async def test_a_fault_of_our_own_is_logged_and_not_told():
    door = await stored_door()
    agent = await _ready(door)
    door.store.usage = None  # a bug
    await agent.send("STATUS_GET")
    answer, values, _ = await agent.receive()
    assert values.code == CODES["INTERNAL"] and "NoneType" not in values.text
    assert any(["Traceback" in line for line in door.log.lines(50)])


async def test_no_disk():
    door = await stored_door()
    store, door.store = door.store, None
    agent = door.connect()
    answer, welcome = await agent.hello()
    assert welcome.uuid == bytes(16)
    await agent.send("AUTH", bytes(16), bytes(32))
    await _refused(agent, "NO_DISK", True)
    door.store = store
    agent = door.connect()
    assert (await agent.hello())[1].uuid == store.uuid


async def test_other_versions_are_told_so():
    door = await stored_door()
    agent = door.connect()
    await agent.send("HELLO", PROTOCOL + 1, "future")
    await _refused(agent, "VERSION", True)
