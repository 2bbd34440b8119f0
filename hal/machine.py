"""Interface of a board: every device of the appliance, opened on demand. `board/*.py` build one; `firmware/main.py` takes it."""


class Volume:
    """The formatted data disk. `directory` (str) is on a journalling filesystem and holds catalog and logs;
    `disk` (hal.disk.Disk) is the raw region of the segments."""

    def __init__(self, directory: str, disk):
        self.directory = directory
        self.disk = disk


# What `Machine.probe_volume` found on the data disk.
NONE = "none"  # no disk at all
BLANK = "blank"  # no partition table, first and last MiB are zero
FOREIGN = "foreign"  # holds something that is not ours
OURS = "ours"  # partitioned by `format_volume`


class Machine:
    """A board. Attributes set by `start`:

    `name`       board name
    `processor`  hal.rwp.Processor
    `clock`      hal.clock.Clock
    `watchdog`   hal.watchdog.Watchdog or None
    `i2c`        hal.i2c.SMBus or None
    `serials`    list of hal.serial.Serial, the consoles
    `scratch`    directory for temporary files, empty at start (memory or disk)
    `network`    dict for `show status`: {"interface", "address", "mask", "gateway", "mac"}

    and of the board itself:

    `lan_host`     address that listeners bind to
    `settings`     {name: text}: defaults of settings in place of those of the table
    `keeps_stdout` True if standard output is a log that somebody keeps, False if it is one of the serial lines
    """

    name = ""
    lan_host = "0.0.0.0"
    settings = {}
    keeps_stdout = False

    async def start(self) -> None:
        """Mounts, kernel modules, clocks, watchdog device, serial lines: everything but the data disk and the network address."""
        raise NotImplementedError

    async def open_config(self):
        """hal.disk.Disk of the config area, at least 1 MiB, erased to zeros at manufacture. Raises NotReady."""
        raise NotImplementedError

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        """Set the LAN interface; "" takes the address away. Does nothing on the host board. Raises NotReady without an interface."""
        raise NotImplementedError

    async def open_datagrams(self, port: int, peer_port: int):
        """hal.net.Datagrams from `port` to `peer_port` on the LAN interface. Waits for the link. Raises NotReady without an interface."""
        raise NotImplementedError

    async def disk_identity(self) -> dict:
        """hal.disk.Disk.identify of the data disk. Raises NotReady when there is none."""
        raise NotImplementedError

    async def probe_volume(self) -> str:
        """One of NONE, BLANK, FOREIGN, OURS."""
        raise NotImplementedError

    async def format_volume(self) -> None:
        """Destroy what the data disk holds: partition table, journalling filesystem, raw region. Raises NotReady, NoSpace (too small)."""
        raise NotImplementedError

    async def open_volume(self) -> Volume:
        """Mount and open. Raises NotReady unless `probe_volume` says OURS, CorruptData if the filesystem cannot be mounted."""
        raise NotImplementedError

    async def close_volume(self) -> None:
        """Unmount, after everything in the directory was closed."""
        raise NotImplementedError

    async def tape_transports(self) -> list:
        """hal.scsi.ScsiTransport of every tape drive found, maybe none. The caller closes them."""
        raise NotImplementedError

    def open_kv(self, directory: str, tables, duplicates=(), map_bytes: int = 0, read_only: bool = False):
        """hal.kv.Kv in `directory` (created if absent). `duplicates` names the tables with sorted fixed-size duplicate values."""
        raise NotImplementedError

    def replace_kv(self, directory: str, by: str) -> None:
        """The database of directory `by` takes the place of the one in `directory`, both closed. Durable on return; a cut leaves one of
        the two in `directory`. Raises HalError."""
        raise NotImplementedError

    async def listen_tcp(self, host: str, port: int):
        """hal.net.Listener. Raises BusError if the port is taken."""
        raise NotImplementedError

    async def listen_tls(self, host: str, port: int, certificate: bytes, key: bytes):
        """hal.net.Listener whose connections speak TLS 1.3 only; certificate and key in DER."""
        raise NotImplementedError

    def make_identity(self, common_name: str):
        """(certificate, key) in DER: a new self-signed EC P-256 certificate, valid 30 years."""
        raise NotImplementedError

    def pbkdf2(self, password: bytes, salt: bytes, rounds: int) -> bytes:
        """PBKDF2 with HMAC-SHA-256 (RFC 8018 5.2), 32 bytes."""
        raise NotImplementedError

    def crash_logs(self) -> list:
        """[(name, text)] that the kernel left before it died (pstore), oldest name first; [] where there is no such thing."""
        return []

    def clear_crash_logs(self) -> None:
        """Free the place of the crash logs."""

    def memory(self) -> dict:
        """{"total_bytes", "free_bytes"} of the board and {"process_bytes", "process_peak_bytes"} of the firmware; 0 where unknown."""
        raise NotImplementedError

    async def power_off(self) -> None:
        raise NotImplementedError

    async def reboot(self) -> None:
        raise NotImplementedError
