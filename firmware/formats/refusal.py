"""What the appliance answers in an ERROR frame: code, name, exit status of the agent's command, meaning. Codes are never used again."""

_TABLE = (
    (1, "PROTOCOL", 3, "the frame or the order of frames is not what the protocol says"),
    (2, "VERSION", 3, "the two ends speak different versions of the protocol"),
    (3, "PAIRING", 5, "the pairing code is wrong, used or expired"),
    (4, "AUTH", 6, "client unknown or token wrong"),
    (5, "BUSY", 9, "no backup slot now; ask again later"),
    (6, "FULL", 10, "the disk has no room for this"),
    (7, "NO_DISK", 11, "no formatted disk in the appliance"),
    (8, "NOT_FOUND", 8, "no such view, file or node, or it is not yours"),
    (9, "NO_TAPE", 12, "no tape is mounted"),
    (10, "CORRUPT", 13, "data failed its check"),
    (11, "LIMIT", 3, "a bound of the protocol was passed"),
    (12, "INTERNAL", 14, "the appliance failed; its log says more"),
    (13, "SHUTDOWN", 9, "the appliance is going down"),
)

NAMES = {row[0]: row[1] for row in _TABLE}
EXIT_STATUS = {row[0]: row[2] for row in _TABLE}
MEANINGS = {row[0]: row[3] for row in _TABLE}
CODES = {row[1]: row[0] for row in _TABLE}


class Refusal(Exception):
    """An answer to the other side: becomes an ERROR frame, or came as one. `name` is of the table."""

    def __init__(self, name: str, text: str, retry_s: int = 0):
        super().__init__(text)
        self.code = CODES[name]
        self.name = name
        self.text = text
        self.retry_s = retry_s
