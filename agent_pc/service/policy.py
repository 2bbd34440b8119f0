"""When and what to back up: the network-wide policy of the appliance and the user's agent.toml, merged. `bobbin agent config` shows it.

How two values become one is the rule of the row:

    least   the smaller of the two: a user may be backed up more often than the network asks for, not more rarely
    own     the user's, else the appliance's
    either  on if one of them says on
    join    the built-in patterns, the user's, the appliance's, in this order; the last one that fits a path decides,
            so that the appliance has the last word
    local   only the user's: the appliance does not know this PC
"""

import json
import os

from agent_pc import state as states
from agent_pc.afm.options import Options as Files
from agent_pc.exits import AgentError
from agent_pc.fda.rule import Rule as Difference
from agent_pc.fdm.exclude import Exclusions, Rule

FILE = "agent.toml"
_KEPT = "policy.json"  # the appliance's, as of the last connection
_SWAPS = "/proc/swaps"

DEFAULT_EXCLUDE = (
    # caches
    ".cache/", "Cache/", "CachedData/", "Code Cache/", "GPUCache/", "ShaderCache/", ".thumbnails/", "Library/Caches/",
    "/var/cache/*", "/var/lib/apt/lists/*", "Temporary Internet Files/", "INetCache/",
    # temporary
    "/tmp/*", "/var/tmp/*", "/run/*", "/dev/shm/*", "*.tmp", "*.temp", "~$*", ".~lock.*#", "*.swp", "*.swo", "*.crdownload", "*.part",
    "AppData/Local/Temp/", "Windows/Temp/", "lost+found/",
    # thrown away
    ".local/share/Trash/", ".Trash/", ".Trash-*/", ".Trashes/", "$RECYCLE.BIN/",
    # swap and hibernation
    "/swapfile", "/swap.img", "pagefile.sys", "hiberfil.sys", "swapfile.sys", "/private/var/vm/",
    # made again by the system
    ".Spotlight-V100/", ".fseventsd/", "System Volume Information/",
)  # fmt: skip


class Whole:
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int):
        self.low, self.high = low, high
        self.label = f"a whole number, {low} to {high}"

    def good(self, value) -> bool:
        return type(value) is int and self.low <= value <= self.high


class Flag:
    """true or false."""

    label = "true or false"

    def good(self, value) -> bool:
        return type(value) is bool


class Strings:
    """A list of texts that `check(text)` does not refuse."""

    def __init__(self, label: str, check):
        self.label, self._check = label, check

    def good(self, value) -> bool:
        try:
            return type(value) is list and all(type(part) is str and self._check(part) for part in value)
        except AgentError:
            return False


class Sets:
    """A table of lists of paths, of which * stands for anything."""

    label = 'a table like {shop = ["/srv/shop/*.db", "/srv/shop/index"]}'

    def good(self, value) -> bool:
        return type(value) is dict and all(_PATHS.good(paths) and paths for paths in value.values())


_PATTERNS = Strings('a list of patterns like ["*.iso", "/srv/scratch/"]', Rule)
_PATHS = Strings('a list of paths like ["/home"]', lambda text: text.startswith(("/", "~")))

# key, type, built-in value, rule, meaning
ROWS: tuple = (
    ("sources", _PATHS, None, "local", "what to back up; built-in: / for root, else the home directory"),
    ("delay_minutes", Whole(1, 10080), 60, "least", "back up when the last backup is so old"),
    ("load_percent", Whole(1, 100), 95, "own", "put the backup off while the PC is as busy as this"),
    ("battery_percent", Whole(0, 100), 20, "own", "put the backup off while the battery is in use and below this"),
    ("retry_minutes", Whole(1, 1440), 5, "own", "look again so long after putting the backup off"),
    ("force_minutes", Whole(0, 10080), 30, "least", "back up all the same after putting it off for so long"),
    ("one_filesystem", Flag(), False, "either", "leave out filesystems mounted below the sources"),
    ("exclude", _PATTERNS, (), "join", "what to leave out"),
    ("write_free_seconds", Whole(0, 3600), 5, "own", "a file is safe when so long nobody wrote to it; 0: never wait"),
    ("give_up_seconds", Whole(0, 86400), 60, "own", "how long to wait until a file is safe"),
    ("clone", Flag(), True, "local", "read from clones where the filesystem has them"),
    ("databases", Flag(), True, "local", "back up the files of a database as of one moment"),
    ("groups", Sets(), {}, "local", "names of sets of files, each to be backed up as of one moment"),
    ("default_exclude", Flag(), True, "local", "leave out caches, temporary and swap files"),
    ("cachedir_tag", Flag(), True, "local", "leave out what CACHEDIR.TAG marks"),
    ("guard.mounts", _PATHS, (), "local", "directories that `agent install` keeps guarded: each is mounted over itself"),
    (
        "guard.spool_mib",
        Whole(16, 1 << 20),
        1024,
        "local",
        "room for what is overwritten in a guarded mount during a backup, MiB",
    ),
    ("fda.least_mib", Whole(1, 1 << 20), 4, "local", "what was written to smaller files is not tracked"),
    (
        "fda.share_percent",
        Whole(0, 100),
        10,
        "local",
        "read all of a file of which more than this was written, to find what moved,",
    ),
    ("fda.absolute_mib", Whole(0, 1 << 20), 1024, "local", "unless so much was written: then the written regions are sent"),
    ("fda.full_every", Whole(0, 1000), 16, "local", "read all of a file in each so many-th backup of it; 0: never"),
)
_TABLES = ("guard", "fda")  # of agent.toml: `[fda]` and `least_mib` is fda.least_mib
_BY_KEY = {row[0]: row for row in ROWS}
_SHARED = [row[0] for row in ROWS if row[3] != "local"]


class Policy:
    """The merged values as attributes; `origins` {key: where it came from}; `notes`: what was wrong with the appliance's."""

    def __init__(self, user: dict, network: dict):
        self.notes: list = []
        self.origins: dict = {}
        network = self._known(network)
        self.values = {key: self._merged(key, user, network) for key in _BY_KEY}
        self.sources: list = self.values["sources"] or ["/" if os.geteuid() == 0 else os.path.expanduser("~")]
        self.patterns = self._patterns(user, network)

    def __getattr__(self, key: str):
        try:
            return self.__dict__["values"][key]
        except KeyError:
            raise AttributeError(key) from None

    def _known(self, network: dict) -> dict:
        """What of the appliance's policy this version understands. A newer appliance may say more."""
        good = {}
        for key in _SHARED:
            if key in network and _BY_KEY[key][1].good(network[key]):
                good[key] = network[key]
            elif key in network:
                self.notes.append(
                    f"policy of the appliance: {key}: expected {_BY_KEY[key][1].label}, got {network[key]!r}: ignored"
                )
        return good

    def _merged(self, key: str, user: dict, network: dict):
        _, _, built_in, rule, _ = _BY_KEY[key]
        said = [(origin, values[key]) for origin, values in ((FILE, user), ("appliance", network)) if key in values]
        if not said:
            origin, value = "built in", built_in
        elif rule == "least":
            origin, value = min(said, key=lambda row: row[1])
        elif rule == "either":
            origin, value = next((row for row in said if row[1]), said[0])
        else:
            origin, value = said[0]
        self.origins[key] = origin
        return value

    def _patterns(self, user: dict, network: dict) -> list:
        """[(pattern, origin)] in the order in which they count."""
        built_in = [(text, "built in") for text in (*DEFAULT_EXCLUDE, *_swap_files())] if self.values["default_exclude"] else []
        mine = [(_at_home(text), FILE) for text in user.get("exclude", ())]
        return built_in + mine + [(text, "appliance") for text in network.get("exclude", ())]

    def exclusions(self, *own: str) -> Exclusions:
        """For a scan; `own` are the agent's own files."""
        return Exclusions([text for text, _ in self.patterns] + list(own), self.cachedir_tag)

    def files(self) -> Files:
        """How files in use are treated."""
        groups = {name: [_at_home(path) for path in paths] for name, paths in self.groups.items()}
        return Files(self.write_free_seconds, self.give_up_seconds, self.clone, self.databases, groups)

    def rule(self) -> Difference:
        """Which modified files are read in full although it is known what was written to them."""
        value = self.values
        return Difference(
            value["fda.least_mib"] << 20,
            value["fda.share_percent"] / 100,
            value["fda.absolute_mib"] << 20,
            value["fda.full_every"],
        )


def _at_home(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~/") else text


def _swap_files() -> list:
    """Files in use as swap space."""
    try:
        with open(_SWAPS) as file:
            rows = [line.split() for line in file.readlines()[1:]]
        return [row[0] for row in rows if len(row) > 1 and row[1] == "file"]
    except OSError:
        return []


def load_user(directory: str) -> dict:
    """agent.toml of the state directory; {} without one. Raises AgentError(STATE) naming key, what was expected, what came."""
    path = os.path.join(directory, FILE)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AgentError("STATE", f"{path}: cannot read: {error.strerror}") from None
    import tomllib  # only now: most have no such file

    try:
        content = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError("STATE", f"{path}: expected TOML: {error}") from None
    content = _flat(content)
    for key, value in content.items():
        if key not in _BY_KEY:
            raise AgentError("STATE", f"{path}: {key}: no such key; there are {', '.join(_BY_KEY)}")
        if not _BY_KEY[key][1].good(value):
            raise AgentError("STATE", f"{path}: {key}: expected {_BY_KEY[key][1].label}, got {value!r}")
    return content


def _flat(content: dict) -> dict:
    """With the keys of _TABLES as `table.key`."""
    flat: dict = {}
    for key, value in content.items():
        if key in _TABLES and type(value) is dict:
            flat.update({f"{key}.{inner}": row for inner, row in value.items()})
        else:
            flat[key] = value
    return flat


def load_network(directory: str) -> dict:
    """The appliance's policy as of the last connection, {} if there was none."""
    try:
        with open(os.path.join(directory, _KEPT)) as file:
            content = json.load(file)
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def keep_network(directory: str, network: dict) -> None:
    """Remember what READY said; written only when it differs."""
    if network != load_network(directory):
        states.write(os.path.join(directory, _KEPT), network)


def load(directory: str) -> Policy:
    """The merged policy of a state directory. Raises AgentError(STATE)."""
    return Policy(load_user(directory), load_network(directory))
