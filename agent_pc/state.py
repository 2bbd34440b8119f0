"""What pairing left on this PC: the appliance's address and certificate, this client's id and token. Read by every command.

One directory, one appliance: `appliance.json` (0600) and the caches beside it.
"""

import binascii
import fcntl
import json
import os

from agent_pc.exits import AgentError
from firmware.formats.frame import PORT

_FILE = "appliance.json"
_LOCK = "lock"


def default_directory() -> str:
    """/var/lib/bobbin for root, else under XDG_STATE_HOME or ~/.local/state."""
    if os.geteuid() == 0:
        return "/var/lib/bobbin"
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "bobbin")


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of ADDR, ADDR:PORT or [IPV6]:PORT."""
    host, port = text, str(PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise AgentError("USAGE", f"address: expected HOST or HOST:PORT, got {text!r}")
    return host, int(port)


class State:
    """The pairing. Fields: host, port, certificate (DER), appliance (uuid), client (uuid), token, name."""

    def __init__(
        self, directory: str, host: str, port: int, certificate: bytes, appliance: bytes, client: bytes, token: bytes, name: str
    ):
        self.directory = directory
        self.host = host
        self.port = port
        self.certificate = certificate
        self.appliance = appliance
        self.client = client
        self.token = token
        self.name = name

    @property
    def cache_path(self) -> str:
        """Where the cached DTF of this appliance and client lies."""
        return os.path.join(self.directory, f"cache-{self.client.hex()}.sqlite")

    def lock(self):
        """Open file; while it is open no other backup of this state begins. Raises AgentError(BUSY)."""
        file = open(os.path.join(self.directory, _LOCK), "w")  # noqa: SIM115  open is what locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AgentError(
                "BUSY", f"state directory {self.directory}: another backup is running from it; wait for its end"
            ) from None
        return file

    def save(self) -> None:
        """Write atomically, readable by the owner only. Raises AgentError(STATE)."""
        content = {
            "host": self.host,
            "port": self.port,
            "certificate": binascii.b2a_base64(self.certificate, newline=False).decode(),
            "appliance": self.appliance.hex(),
            "client": self.client.hex(),
            "token": self.token.hex(),
            "name": self.name,
        }
        try:
            prepare(self.directory)
            write(os.path.join(self.directory, _FILE), content, durable=True)
        except OSError as error:
            raise AgentError("STATE", f"state directory {self.directory}: cannot write: {error.strerror}") from None


def write(path: str, document: dict, durable: bool = False) -> None:
    """JSON into a file of the state directory, for the owner only, at once or not at all. Raises OSError."""
    temporary = f"{path}.{os.urandom(8).hex()}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        if durable:
            os.fsync(handle)
    os.replace(temporary, path)


def prepare(directory: str) -> None:
    """Make the state directory, for the owner only. Raises OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError(13, "not writable")


def load(directory: str) -> State:
    """The pairing in `directory`. Raises AgentError(PAIRING) if there is none, STATE if it cannot be read."""
    path = os.path.join(directory, _FILE)
    try:
        with open(path) as file:
            content = json.load(file)
        return State(
            directory,
            content["host"],
            content["port"],
            binascii.a2b_base64(content["certificate"]),
            bytes.fromhex(content["appliance"]),
            bytes.fromhex(content["client"]),
            bytes.fromhex(content["token"]),
            content["name"],
        )
    except FileNotFoundError:
        raise AgentError(
            "PAIRING",
            f"not paired: no {path}; get a code on the appliance (client pair NAME) and run: bobbin pair CODE --host ADDRESS",
        ) from None
    except OSError as error:
        raise AgentError("STATE", f"{path}: cannot read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError("STATE", f"{path}: expected what `bobbin pair` writes, got {error!r}; pair again") from None
