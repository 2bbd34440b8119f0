"""The table of settings. `set`, `show config`, completion, the stored configuration and docs/settings.md derive from it.

A setting's value is text when stored and typed; `parse` of its type gives what the code uses.
"""


class Invalid(Exception):
    """A value or name that the table does not allow; the text says what was expected and what came."""


class Text:
    """Letters, digits and the `extra` characters, `low` to `high` of them."""

    choices = ()

    def __init__(self, low: int, high: int, extra: str = ""):
        self.low = low
        self.high = high
        self.extra = extra
        allowed = (
            "letters, digits" + "".join([" " + char for char in extra if char != " "]) + (" and spaces" if " " in extra else "")
        )
        self.label = "%d to %d characters: %s" % (low, high, allowed)

    def parse(self, text: str):
        plain = all([char < "\x7f" and (char.isalpha() or char.isdigit() or char in self.extra) for char in text])
        return text if plain and self.low <= len(text) <= self.high else None


class Number:
    """A whole number from `low` to `high`."""

    choices = ()

    def __init__(self, low: int, high: int):
        self.low = low
        self.high = high
        self.label = "a number, %d to %d" % (low, high)

    def parse(self, text: str):
        if not text.isdigit() or len(text) > 20:
            return None
        return int(text) if self.low <= int(text) <= self.high else None


class Choice:
    """One of a few words."""

    def __init__(self, *choices):
        self.choices = choices
        self.label = "one of " + ", ".join(choices)

    def parse(self, text: str):
        return text if text in self.choices else None


class Switch:
    """on or off; a bool for the code."""

    choices = ("on", "off")
    label = "on or off"

    def parse(self, text: str):
        return text == "on" if text in self.choices else None


class Address:
    """A dotted IPv4 address, or nothing."""

    choices = ()
    label = 'an IPv4 address like 192.168.1.20, or ""'

    def parse(self, text: str):
        parts = text.split(".") if text else []
        good = all([part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts])
        return text if not text or (len(parts) == 4 and good) else None


class Patterns:
    """Patterns of files with "|" between them; a list for the code."""

    choices = ()

    def __init__(self, high: int):
        self.high = high
        self.label = 'patterns like *.iso|/srv/scratch/, "|" between them, %d characters at most; or ""' % high

    def parse(self, text: str):
        plain = all([" " <= char < "\x7f" for char in text]) and len(text) <= self.high
        parts = text.split("|") if text else []
        return parts if plain and all([part.strip() for part in parts]) else None


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Schedule:
    """`DAYS HH:MM`, or nothing. DAYS: daily, weekdays, or days with commas; gives (list of weekdays 0 = Monday, minute) or ()."""

    choices = ()
    label = '"DAYS HH:MM", DAYS being daily, weekdays or like mon,thu; or ""'

    def parse(self, text: str):
        words = text.split()
        if not words:
            return ()
        if len(words) != 2:
            return None
        days, minute = _days(words[0]), _minute(words[1])
        return None if days is None or minute is None else (days, minute)


def _days(word: str):
    known = {"daily": list(range(7)), "weekdays": list(range(5))}
    if word in known:
        return known[word]
    parts = word.split(",")
    return [_DAYS.index(part) for part in parts] if all([part in _DAYS for part in parts]) else None


def _minute(word: str):
    parts = word.split(":")
    if len(parts) != 2 or not all([part.isdigit() and len(part) == 2 for part in parts]):
        return None
    hour, minute = int(parts[0]), int(parts[1])
    return 60 * hour + minute if hour < 24 and minute < 60 else None


class Minute:
    """`HH:MM`, minutes after midnight UTC for the code."""

    choices = ()
    label = "HH:MM in UTC"

    def parse(self, text: str):
        return _minute(text)


class Secret(Text):
    """Text that is never shown and that `set` does not take."""

    def __init__(self, high: int):
        super().__init__(0, high, "$+/=-")
        self.label = "set by its own command"


class Setting:
    def __init__(self, name: str, kind, default: str, help_: str):
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help_

    @property
    def secret(self) -> bool:
        return isinstance(self.kind, Secret)

    def parse(self, text: str):
        """The value that the code uses. Raises Invalid."""
        value = self.kind.parse(text)
        if value is None:
            raise Invalid("%s: expected %s, got %s" % (self.name, self.kind.label, repr(text[:64])))
        return value


# name, type, default, help
_TABLE = (
    ("appliance.name", Text(1, 32, "-."), "bobbin", "name of this appliance, shown to agents and in its certificate"),
    ("net.mode", Choice("dhcp", "static"), "dhcp", "where the LAN address comes from"),
    ("net.address", Address(), "", "LAN address when net.mode is static"),
    ("net.mask", Address(), "255.255.255.0", "network mask when net.mode is static"),
    ("net.gateway", Address(), "", "default gateway when net.mode is static"),
    ("lan.port", Number(0, 65535), "7170", "TCP port for agents, from the next start on; 0 takes a free one"),
    ("telnet.enabled", Switch(), "off", "console by telnet: unencrypted, for trusted networks only"),
    ("telnet.port", Number(0, 65535), "23", "TCP port of telnet; 0 takes a free one"),
    ("console.idle_minutes", Number(0, 1440), "15", "log out after so many minutes without a key; 0 is never"),
    ("console.password", Secret(160), "", "hash of the administrator's password"),
    ("backup.sessions", Number(1, 64), "4", "backups that may run at the same time"),
    ("backup.rate_bytes_s", Number(0, 1 << 40), "0", "bytes a second that one backup may send; 0 is as fast as it goes"),
    ("scrub.every_days", Number(0, 3650), "30", "days between two scrubs, which read the whole disk and check it; 0 is never"),
    ("scrub.rate", Number(1 << 20, 1 << 40), "20000000", "bytes a second that the scrub reads while nothing else works"),
    ("tape.schedule", Schedule(), "", "when the tape copy shall be complete"),
    (
        "tape.geometry",
        Choice("small", "standard", "deep", "wide"),
        "standard",
        "Reed-Solomon of new tapes: see docs/formats.md",
    ),
    (
        "tape.keep_days",
        Number(0, 36500),
        "0",
        "days that a tape is not overwritten after its copy; 0 lets the next copy have it",
    ),
    ("policy.delay_minutes", Number(1, 10080), "60", "a PC backs up when its last backup is so old"),
    ("policy.load_percent", Number(1, 100), "95", "a PC as busy as this (CPU and waiting for disks) puts its backup off"),
    ("policy.battery_percent", Number(0, 100), "20", "a PC on battery that holds less than this puts its backup off"),
    ("policy.retry_minutes", Number(1, 1440), "5", "when a PC that put its backup off looks again"),
    ("policy.force_minutes", Number(0, 10080), "30", "a PC backs up however busy it is after putting it off for so long"),
    ("policy.write_free_seconds", Number(0, 3600), "5", "PCs back a file up when so long nobody wrote to it; 0: at once"),
    ("policy.give_up_seconds", Number(0, 86400), "60", "how long PCs wait for such a moment"),
    ("policy.one_filesystem", Switch(), "off", "PCs leave out filesystems mounted below what they back up"),
    ("policy.exclude", Patterns(384), "", "what no PC backs up, as patterns of .gitignore"),
    ("keep.merge_time", Minute(), "23:59", "when a day ends: its hourly views are then merged into one daily view"),
    ("keep.hourly_days", Number(0, 366), "0", "whole days before today of which the hourly views are kept, too"),
    (
        "keep.daily_days",
        Number(1, 3660),
        "28",
        "when a daily view is so many days old, the oldest are merged into the baseline",
    ),
    ("keep.fold_days", Number(1, 3660), "14", "how many days of daily views go into the baseline at once"),
    ("keep.deleted_days", Number(1, 36500), "30", "days that a file deleted on the PC can still be restored"),
    ("keep.delta_percent", Number(5, 90), "50", "share of the disk for the delta area: what changed since the baselines"),
    ("keep.urgent_percent", Number(50, 100), "95", "when the delta area is so full, its oldest views are merged at once"),
    ("keep.urgent_days", Number(0, 366), "1", "views of the last days that a full area does not take away"),
    ("keep.reserve_percent", Number(1, 20), "2", "share of the disk that backups leave to merges: the merge area"),
    ("keep.compact_percent", Number(10, 75), "50", "a segment with no more than this in use is copied together with others"),
    ("log.level", Choice("debug", "info", "warning", "error"), "info", "least important entries that the log keeps"),
)

SETTINGS = [Setting(*row) for row in _TABLE]
BY_NAME = {setting.name: setting for setting in SETTINGS}


def find(name: str) -> Setting:
    """The row of `name`. Raises Invalid."""
    if name not in BY_NAME:
        raise Invalid("no setting is named %s: `show config` lists them" % repr(name[:64]))
    return BY_NAME[name]


def markdown() -> str:
    """The table for the documentation."""
    lines = ["| setting | default | values | meaning |", "| --- | --- | --- | --- |"]
    for setting in SETTINGS:
        default = "`%s`" % setting.default if setting.default else ""
        lines.append("| `%s` | %s | %s | %s |" % (setting.name, default, setting.kind.label, setting.help))
    return "\n".join(lines) + "\n"
