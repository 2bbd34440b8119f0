"""A UEFI x86-64 box as a `hal.machine.Machine`: what `board/qemu_q35.py` and `board/pc_x86_64.py` have in common."""

from hal.errors import HalError, NotReady
from hal.linux import block, gpt, lan, pstore, system, volume
from hal.linux.machine import LinuxMachine
from hal.linux.modules import ModuleTable
from hal.loop import now_ms, sleep_ms
from hal.machine import NONE, OURS, Volume

_FLASH_WAIT_MS = 15000
# The UEFI firmware has spun every disk up already; what takes longer than this is not there.
_DATA_WAIT_MS = 3000
_DEVICE_POLL_MS = 20
_LINK_WAIT_MS = 4000  # links come up two to three seconds after the interface (IEEE 802.3 clause 28)
_SG_CLASS = "/sys/class/scsi_generic"
_SEQUENTIAL = "1"  # SPC-4 table 138: peripheral device type of a tape drive


class PcMachine(LinuxMachine):
    """`table` is the board's: see board/qemu_q35.py."""

    scratch = "/tmp"
    owns_clock = True

    def __init__(self, table: dict):
        super().__init__()
        self.name = table["name"]
        self._table = table
        self._disk_wait_ms = _DATA_WAIT_MS

    async def start(self) -> None:
        system.mount_kernel_filesystems()
        self._open_common()
        self._optional("serial line", self._open_serials)
        failed = ModuleTable().load_present(self._table["modules"], self._table["parameters"])
        self.warnings += ["module %s: %s" % pair for pair in failed]
        self._optional("watchdog", self._open_watchdog)
        self._optional("i2c", self._open_i2c)
        self._optional("LAN", self._find_lan)

    def _optional(self, what: str, action) -> None:
        """A part that fails is reported, and the appliance comes up without it."""
        try:
            action()
        except (HalError, OSError, ImportError) as error:
            self.warnings.append("%s: %s" % (what, error))

    def _open_serials(self) -> None:
        from hal.linux.serial import TtySerial

        for path, baud in self._table["serials"]:
            # The 8250 driver makes nodes for ports that are not there.
            if system.read_text("/sys/class/tty/%s/type" % path.rpartition("/")[2]) != "0":
                self.serials.append(TtySerial(path, baud))

    def _open_watchdog(self) -> None:
        from hal.linux.watchdog import LinuxWatchdog

        if self._table["watchdog"].rpartition("/")[2] in system.names("/dev"):
            self.watchdog = LinuxWatchdog(self._table["watchdog"])

    def _open_i2c(self) -> None:
        from hal.linux.i2c import LinuxSMBus

        for adapter in system.names("/sys/class/i2c-dev"):
            if self._table["smbus"] in system.read_text("/sys/class/i2c-dev/%s/name" % adapter):
                self.i2c = LinuxSMBus("/dev/" + adapter)
                return

    def _find_lan(self) -> None:
        lan.set_up("lo")
        found = lan.interfaces()
        for name in found:
            lan.set_up(name)
        if found:
            self._use(found[0])

    def _use(self, interface: str) -> None:
        self.network["interface"] = interface
        self.network["mac"] = lan.mac(interface)

    async def wait_link(self) -> str:
        """The first interface with a live cable; a short while later, or with only one, the first one. Raises NotReady."""
        found = lan.interfaces()
        if not found:
            raise NotReady("no LAN interface: the board has no Ethernet port that its modules drive")
        deadline = now_ms() + _LINK_WAIT_MS
        while len(found) > 1 and now_ms() < deadline:
            for name in found:
                if lan.has_carrier(name):
                    self._use(name)
                    return name
            await sleep_ms(50)
        return self.network["interface"]

    async def configure_network(self, address: str, mask: str, gateway: str) -> None:
        name = await self.wait_link() if address else self.network["interface"]
        lan.set_address(name, address or "0.0.0.0", mask)
        if gateway:
            lan.set_gateway(gateway)
        self.network.update({"address": address, "mask": mask, "gateway": gateway})

    async def open_datagrams(self, port: int, peer_port: int):
        from hal.linux.datagrams import LanDatagrams

        return LanDatagrams(await self.wait_link(), port, peer_port)

    def crash_logs(self) -> list:
        return pstore.join(pstore.read(system.names(pstore.FOLDER)))

    def clear_crash_logs(self) -> None:
        """EFI variables are few."""
        for name in system.names(pstore.FOLDER):
            system.remove("%s/%s" % (pstore.FOLDER, name))

    async def _wait_disk(self, find, wait_ms: int):
        """What `find(devices)` gives: disks show up some time after their drivers. None after `wait_ms`."""
        deadline = now_ms() + wait_ms
        while True:
            found = find(block.devices())
            if found or now_ms() > deadline:
                return found
            await sleep_ms(_DEVICE_POLL_MS)

    async def open_config(self):
        from hal.linux.disk import FileDisk

        flash = await self._wait_disk(block.flash_disk, _FLASH_WAIT_MS)
        if not flash:
            raise NotReady("no flash disk with a config partition was found: is this the disk that was booted from?")
        path = flash.partition_path(flash.partition(gpt.CONFIG_TYPE))
        await volume.wait_for(path, _FLASH_WAIT_MS)
        return FileDisk(path)

    async def _data_device(self):
        """The data disk, looked up anew each time: disks are hot-plugged. Raises NotReady."""
        device = await self._wait_disk(self._find_data_disk, self._disk_wait_ms)
        # Waiting is for the time after power-on.
        self._disk_wait_ms = 0
        if not device:
            raise NotReady("no data disk: connect a SATA disk")
        return device

    def _find_data_disk(self, devices: list):
        return block.data_disk(devices, self._table["disk_bus"])

    async def disk_identity(self) -> dict:
        from hal.linux.disk import FileDisk

        disk = FileDisk((await self._data_device()).path)
        try:
            return await disk.identify()
        finally:
            await disk.close()

    async def probe_volume(self) -> str:
        try:
            return volume.probe(await self._data_device())
        except NotReady:
            return NONE

    async def format_volume(self) -> None:
        device = await self._data_device()
        volume.detach()
        await volume.format_device(device)
        fresh = await self._data_device()
        await volume.make_filesystem(fresh.partition_path(fresh.partition(gpt.CATALOG_TYPE)))

    async def open_volume(self) -> Volume:
        from hal.linux.disk import FileDisk

        device = await self._data_device()
        if volume.probe(device) != OURS:
            raise NotReady("%s is not formatted for Bobbin: use `disk format`" % device.path)
        await volume.attach(device.partition_path(device.partition(gpt.CATALOG_TYPE)))
        disk = FileDisk(device.partition_path(device.partition(gpt.STORE_TYPE)))
        return Volume(volume.MOUNT_POINT, disk)

    async def close_volume(self) -> None:
        volume.detach()

    async def tape_transports(self) -> list:
        from hal.linux.sg import SgTransport

        found = []
        for name in system.names(_SG_CLASS):
            if system.read_text("%s/%s/device/type" % (_SG_CLASS, name)) == _SEQUENTIAL:
                found.append(SgTransport("/dev/" + name))
        return found

    async def power_off(self) -> None:
        system.power_off()

    async def reboot(self) -> None:
        system.restart()
