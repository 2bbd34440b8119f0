"""tgt (tgtd), the poor tape drive: no LOCATE, a READ POSITION that knows nothing, no end of medium.

What version 1.0.85 of Debian really does, see `tests/contract/targets.py` for the proof:
- SPACE over blocks passes filemarks without a word, and counts them; SPACE is refused on a write-protected tape;
- the end of data under SPACE is reported as NO SENSE 00/05 without information, also when it ends exactly there;
- beyond its capacity every write reports early warning, without end;
- with wrong length the residual is the number of bytes that did come; short-form INFORMATION is right;
- LOAD UNLOAD is START STOP UNIT: without bit 1 of byte 4 (RETEN on a tape) it does nothing and says GOOD;
- SIGTERM is ignored while an initiator is logged in.
"""

import os
import signal
import struct
import subprocess

from tests.lab.target import Target, main

_TARGET = "iqn.2024-01.net.bobbin.lab:poor"

# The defaults cut every block into pieces of 8 KiB.
_PARAMETERS = (("MaxRecvDataSegmentLength", "262144"), ("MaxXmitDataSegmentLength", "262144"),
               ("FirstBurstLength", "262144"), ("MaxBurstLength", "1048576"))  # fmt: skip

# Cartridge file, big-endian: checksum, bytes on disk, block size, type, number, offsets of the header before, this, the next.
_HEADER = struct.Struct(">IIIIQQQQ")
_FILEMARK, _END = 0x40, 0x20


class Tgt(Target):
    """The tgt target in DIRECTORY."""

    name = "tgtd"
    programs = ("tgtd", "tgtadm", "tgtimg")
    package = "tgt"
    stop_signals = (signal.SIGKILL,)  # while it has a target it ignores SIGTERM; what was written is in the file

    def format(self, path, size_mib: int) -> None:
        self._run(["/usr/sbin/tgtimg", "--op", "new", "--device-type", "tape", "--type", "data", "--barcode", path.stem[:8],
                   "--size", str(size_mib), "--file", str(path)])  # fmt: skip

    def blocks(self, path):
        with open(path, "rb") as file:
            kind, address, following = 0, 0, _HEADER.unpack(file.read(_HEADER.size))[7]
            while True:
                file.seek(following)
                _, length, _, kind, _, _, offset, following = _HEADER.unpack(file.read(_HEADER.size))
                if kind == _END:
                    return
                yield address, kind == _FILEMARK, offset + _HEADER.size, length
                address += 1

    def _environment(self) -> dict:
        """tgtd and tgtadm meet at a socket of our own instead of /var/run/tgtd; relative, for a socket's path is short."""
        return dict(os.environ, TGT_IPC_SOCKET="control")

    def _command(self, state: dict, cartridge) -> list:
        return ["/usr/sbin/tgtd", "-D", "--iscsi", "portal=127.0.0.1:%d" % state["ports"][0]]

    def _configure(self, state: dict, cartridge) -> None:
        self._admin("target", "new", "--tid", "1", "--targetname", _TARGET)
        self._admin("logicalunit", "new", "--tid", "1", "--lun", "1", "--device-type", "tape", "--bstype", "ssc",
                    "--backing-store", str(cartridge))  # fmt: skip
        for name, value in _PARAMETERS:
            self._admin("target", "update", "--tid", "1", "--name", name, "--value", value)
        self._admin("target", "bind", "--tid", "1", "--initiator-address", "ALL")

    def _url(self, state: dict) -> str:
        return "iscsi://127.0.0.1:%d/%s/1" % (state["ports"][0], _TARGET)

    def _run(self, arguments: list) -> None:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=30, env=self._environment(), cwd=self.directory,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(arguments), (done.stdout + done.stderr).strip()))

    def _admin(self, mode: str, operation: str, *arguments: str) -> None:
        self._run(["/usr/sbin/tgtadm", "--lld", "iscsi", "--mode", mode, "--op", operation, *arguments])

    def _update(self, parameters: str) -> None:
        self._admin("logicalunit", "update", "--tid", "1", "--lun", "1", "--params", parameters)

    def eject(self) -> None:
        self._update("online=0")

    def insert(self, cartridge: str, protected: bool = False) -> None:
        self._update("online=0")
        self._update("readonly=%d" % protected)
        self._admin("logicalunit", "update", "--tid", "1", "--lun", "1", "--params", "path=%s" % self.path(cartridge))
        self._update("online=1")
        self._now_in_drive(cartridge)


if __name__ == "__main__":
    main(Tgt)
