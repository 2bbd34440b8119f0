"""Every message of the wire, by type number. A number is never used again; a retired one stays here with its reason.

Conversations (agent first):

    HELLO -> WELCOME                                       then PAIR -> PAIRED, or AUTH -> READY
    BEGIN -> GRANT | ERROR(BUSY, retry_s)                  then any of:
      PACK (no reply; an ERROR ends the backup), SYNC -> SYNCED, RFE_ASK -> RFE_NOMINEES,
      RFE_PROVE -> RFE_PROVEN, PRINTS_GET -> PRINTS ... PRINTS(last)
    COMMIT -> COMMITTED, or ABANDON -> ABANDONED
    HEAL_GET -> HEAL_WANTED, HEAL_PACK (no reply), HEAL_END -> HEALED
    VIEWS_GET -> VIEWS, OWNED_GET -> OWNED, ITEMS_GET -> (DATA | LOST) ... END, STATUS_GET -> STATUS
    anything -> ERROR
"""

from firmware.formats import limits
from firmware.formats.record import Bytes, Flat, Record, Rows, Text

CRC = Record("wire.CRC", (("crc", "I"),), "CRC-32 of a file's name, size and time.")
NOMINEE = Record(
    "wire.NOMINEE",
    (("row", "I"), ("index", "I"), ("group", "I"), ("size", "Q"), ("signature", "8s"), ("point", "I")),
    "For row `row` of the question: a file object with that CRC, its size and 8 bytes of its signature (rfe.ENTRY), and which range of it "
    "is challenged (rfe.challenged).",
)
PROOF = Record(
    "wire.PROOF",
    (("nominee", "H"), ("digest", "16s")),
    "Which nominee of the batch, counted from 0, and BLAKE2b of 16 bytes over the challenged range, keyed with nonce and signature.",
)
PRINT = Record("wire.PRINT", (("length", "I"), ("weak", "I"), ("strong", "8s")), "Fingerprint of one chunk, and its length.")
GROUP = Record("wire.GROUP", (("group", "I"),), "A BDF id.")
MINE = Record("wire.MINE", (("mine", "B"),), "1: the BDF is of the asking client. 0: another one's and absent alike.")
STRETCH = Record(
    "wire.STRETCH",
    (("group", "I"), ("first", "I"), ("count", "I"), ("file_group", "I"), ("file_index", "I")),
    "Items first .. first+count-1 of one BDF. file: where the BDF is another client's, the file object that has these chunks in "
    "its runs and that the client may read; else 0, 0.",
)
VIEW = Record(
    "wire.VIEW",
    (
        ("view", "I"),
        ("root_group", "I"),
        ("root_index", "I"),
        ("time_ns", "q"),
        ("files", "Q"),
        ("bytes", "Q"),
        ("stored_bytes", "Q"),
        ("label", "64s"),
        ("kind", "B"),
        ("attic_group", "I"),
        ("attic_index", "I"),
    ),
    "One restorable point in time: its DTF root, files and bytes in it, bytes that its backup added to the disk. "
    "label: as COMMIT gave it, UTF-8, zero padded. kind: as catalog.VIEW. attic: root of the tree of deleted files that it still "
    "offers, group 0 if none.",
)

WANT = Record(
    "wire.WANT",
    (
        ("kind", "B"),
        ("group", "I"),
        ("index", "I"),
        ("file_group", "I"),
        ("file_index", "I"),
        ("offset", "Q"),
        ("length", "I"),
    ),
    "An item that is damaged on the appliance. A chunk: `length` bytes from `offset` of that file object, if the client has the file "
    "still. A node or file object (no file): if it is in the client's cache.",
)

# ITEMS_GET.source, OWNED_GET.source, VIEWS_GET.source
DISK = 0
TAPE = 1

# type number, name, from, rows, about
_TABLE = (
    (1, "HELLO", "agent", (("protocol", "H"), ("software", Text(64))), "First frame."),
    (
        2,
        "WELCOME",
        "appliance",
        (("protocol", "H"), ("uuid", "16s"), ("time_ns", "q"), ("name", Text(64)), ("software", Text(64))),
        "uuid: of the appliance.",
    ),
    (
        3,
        "ERROR",
        "appliance",
        (("code", "H"), ("retry_s", "I"), ("text", Text(512))),
        "code: firmware/formats/refusal.py. retry_s: when to ask again, 0 if it is no use.",
    ),
    (
        4,
        "PAIR",
        "agent",
        (("nonce", "16s"), ("proof", "32s"), ("host", Text(128))),
        "proof: firmware/formats/pairing.py; the code itself is never sent.",
    ),
    (
        5,
        "PAIRED",
        "appliance",
        (("uuid", "16s"), ("token", "32s"), ("proof", "32s"), ("name", Text(64))),
        "uuid and token authenticate the client from now on; proof shows that the appliance knows the code.",
    ),
    (6, "AUTH", "agent", (("uuid", "16s"), ("token", "32s")), ""),
    (
        7,
        "READY",
        "appliance",
        (("name", Text(64)), ("policy", Text(4096))),
        "name: of the client; policy: JSON object, firmware/net/policy.py.",
    ),
    (
        10,
        "BEGIN",
        "agent",
        (("files", "Q"), ("bytes", "Q")),
        "Asks for a backup slot; an estimate of what will be sent.",
    ),
    (
        11,
        "GRANT",
        "appliance",
        (
            ("group", "I"),
            ("next_data", "I"),
            ("next_file", "I"),
            ("next_node", "I"),
            ("rate_bytes_s", "Q"),
            ("block_bytes", "I"),
        ),
        "The BDF id of this backup and the first free index of each kind: above 0 when a cut backup is continued. "
        "rate 0: unlimited. block: bytes to send at a time.",
    ),
    (12, "PACK", "agent", (), "Body is a pack (pack.HEADER ...), items in index order without gaps."),
    (13, "SYNC", "agent", (), "Asks to make everything sent so far durable."),
    (
        14,
        "SYNCED",
        "appliance",
        (("next_data", "I"), ("next_file", "I"), ("next_node", "I")),
        "Items below these are durable and are not lost with the connection.",
    ),
    # 15 to 20 were RFE_QUERY, RFE_CANDIDATES, RFE_CLAIM, RFE_CHALLENGE, RFE_PROOF and RFE_VERDICT: one conversation at a time, 84 bytes
    # sent for each file. 112 to 115 took their place.
    (21, "PRINTS_GET", "agent", (("group", "I"), ("index", "I")), "Fingerprint set of a file object that the client may read."),
    (
        22,
        "PRINTS",
        "appliance",
        (("last", "B"), ("prints", Rows(PRINT, 32768))),
        "In file order, holes left out; as many frames as it takes.",
    ),
    (
        30,
        "COMMIT",
        "agent",
        (("root_group", "I"), ("root_index", "I"), ("time_ns", "q"), ("files", "Q"), ("bytes", "Q"), ("label", Text(64))),
        "Everything is sent: make it a view of this time. label: what people call it, may be empty.",
    ),
    (
        31,
        "COMMITTED",
        "appliance",
        (("view", "I"), ("stored_bytes", "Q"), ("damage", "B")),
        "Durable and listed. damage: 1 if HEAL_GET may be of use.",
    ),
    (32, "ABANDON", "agent", (), "Give up this backup and free what it stored."),
    (33, "ABANDONED", "appliance", (), ""),
    (40, "VIEWS_GET", "agent", (("source", "B"), ("after", "I")), "Views with a number above `after`."),
    (
        41,
        "VIEWS",
        "appliance",
        (("label", Text(64)), ("views", Rows(VIEW, 4096))),
        "label: of the tape. Ask again after a full one.",
    ),
    (
        42,
        "ITEMS_GET",
        "agent",
        (("source", "B"), ("kind", "B"), ("stretches", Rows(STRETCH, limits.REF_ROWS))),
        "Items that the client may read: all of its own BDFs, file objects that it proved to hold, chunks of these. Answered by "
        "DATA that hold exactly those items in order, then END. Neighbours are best asked for in one row: whole packs cost least.",
    ),
    # 43 was READ, chunks by file object: a lookup for each file on the appliance. ITEMS_GET took its place.
    (
        44,
        "DATA",
        "appliance",
        (),
        "Body is a pack: the items asked for next, in order.",
    ),
    (
        45,
        "LOST",
        "appliance",
        (("row", "I"), ("first", "I"), ("count", "I"), ("text", Text(512))),
        "Items first .. first+count-1, counted from 0 within row `row` of the request, cannot be given; what comes next lies behind them.",
    ),
    (46, "END", "appliance", (("lost", "I"),), "The request is answered; so many items were lost."),
    (47, "OWNED_GET", "agent", (("source", "B"), ("groups", Rows(GROUP, limits.REF_ROWS))), "Which BDFs are the client's own?"),
    (48, "OWNED", "appliance", (("owned", Rows(MINE, limits.REF_ROWS)),), "One for each BDF of the request, in order."),
    (80, "HEAL_GET", "agent", (), "What damaged items the client could give back; any time but during a backup."),
    (81, "HEAL_WANTED", "appliance", (("wants", Rows(WANT, limits.HEAL_ROWS)),), "Items of one pack follow each other."),
    (
        82,
        "HEAL_PACK",
        "agent",
        (),
        "Body is a pack of wanted items, group and first as wanted, in the order of HEAL_WANTED. No reply; what is not right is dropped.",
    ),
    (83, "HEAL_END", "agent", (), "That was all."),
    (84, "HEALED", "appliance", (("packs", "I"),), "So many damaged packs are whole again."),
    (
        112,
        "RFE_ASK",
        "agent",
        (("crcs", Flat(CRC, limits.RFE_ROWS)),),
        "Are files with these CRCs held? At most limits.RFE_BATCHES batches may be unproven: the oldest is forgotten.",
    ),
    (
        113,
        "RFE_NOMINEES",
        "appliance",
        (("batch", "I"), ("nonce", "16s"), ("nominees", Flat(NOMINEE, limits.RFE_ROWS * limits.RFE_NOMINEES))),
        "A batch with rows awaits one RFE_PROVE.",
    ),
    (
        114,
        "RFE_PROVE",
        "agent",
        (("batch", "I"), ("proofs", Flat(PROOF, limits.RFE_ROWS))),
        "Of the nominees that the client holds.",
    ),
    (
        115,
        "RFE_PROVEN",
        "appliance",
        (("verdicts", Bytes(limits.RFE_ROWS)),),
        "A byte for each proof. 1: the file object may be referenced. 0: unknown, refused and absent alike.",
    ),
    (50, "STATUS_GET", "agent", (), ""),
    (51, "STATUS", "appliance", (("status", Text(16384)),), "JSON."),
)

NAMES = {row[0]: row[1] for row in _TABLE}
SENDER = {row[0]: row[2] for row in _TABLE}
RECORDS = {row[0]: Record("wire." + row[1], row[3], row[4]) for row in _TABLE}
TYPES = {row[1]: row[0] for row in _TABLE}

HELLO = TYPES["HELLO"]
WELCOME = TYPES["WELCOME"]
ERROR = TYPES["ERROR"]
PAIR = TYPES["PAIR"]
PAIRED = TYPES["PAIRED"]
AUTH = TYPES["AUTH"]
READY = TYPES["READY"]
BEGIN = TYPES["BEGIN"]
GRANT = TYPES["GRANT"]
PACK = TYPES["PACK"]
SYNC = TYPES["SYNC"]
SYNCED = TYPES["SYNCED"]
RFE_ASK = TYPES["RFE_ASK"]
RFE_NOMINEES = TYPES["RFE_NOMINEES"]
RFE_PROVE = TYPES["RFE_PROVE"]
RFE_PROVEN = TYPES["RFE_PROVEN"]
PRINTS_GET = TYPES["PRINTS_GET"]
PRINTS = TYPES["PRINTS"]
COMMIT = TYPES["COMMIT"]
COMMITTED = TYPES["COMMITTED"]
ABANDON = TYPES["ABANDON"]
ABANDONED = TYPES["ABANDONED"]
VIEWS_GET = TYPES["VIEWS_GET"]
VIEWS = TYPES["VIEWS"]
ITEMS_GET = TYPES["ITEMS_GET"]
DATA = TYPES["DATA"]
LOST = TYPES["LOST"]
END = TYPES["END"]
OWNED_GET = TYPES["OWNED_GET"]
OWNED = TYPES["OWNED"]
STATUS_GET = TYPES["STATUS_GET"]
STATUS = TYPES["STATUS"]

HEAL_GET = TYPES["HEAL_GET"]
HEAL_WANTED = TYPES["HEAL_WANTED"]
HEAL_PACK = TYPES["HEAL_PACK"]
HEAL_END = TYPES["HEAL_END"]
HEALED = TYPES["HEALED"]

BODY_IS_PACK = (PACK, DATA, HEAL_PACK)
