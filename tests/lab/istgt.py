"""istgt, the default tape target: a DLT8000 with LOCATE, READ POSITION and a hard end of medium.

What version 0.4 (20111008) of Debian really does:
- the beginning of the tape counts as a block: after the first block READ POSITION says 2, LOCATE(1) is the first block;
- a block that is longer than the buffer is cut, a shorter one is short, both with status GOOD: no wrong length is ever reported;
- a read whose buffer reaches beyond the end of medium is a medium error, whatever is recorded there;
- the first block written over a file that has filemarks behind it is a false medium error if it is shorter than 128 bytes;
- no early warning; VOLUME OVERFLOW at the end, and then for every write and filemark until the tape is moved;
- a data block whose own header is damaged ends with CHECK CONDITION without sense, and hides all that follows up to the
  next filemark: LOCATE walks the headers from there;
- at most 1022 filemarks; SPACE to the end of data stops behind the last filemark;
- no unit attention on a change of the cartridge or a login; after a change TEST UNIT READY says "medium not present" some
  six times more; once unloaded, LOAD is refused: only istgtcontrol loads;
- IMMED is ignored, LOG SENSE unknown, FILEMARK set in unrelated sense.
"""

import struct
import subprocess

from tests.lab.target import MIB, Target, main

_TARGET = "iqn.2024-01.net.bobbin.lab:tape"

_CONFIG = """\
[Global]
  NodeBase "iqn.2024-01.net.bobbin.lab"
  PidFile {directory}/istgt.pid
  AuthFile {directory}/auth.conf
  MediaDirectory {directory}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod Auto
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0

[UnitControl]
  AuthMethod Auto
  Portal UC1 127.0.0.1:{control}
  Netmask 127.0.0.1

[PortalGroup1]
  Portal DA1 127.0.0.1:{port}

[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.1

[LogicalUnit1]
  TargetName tape
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod Auto
  UseDigest Auto
  UnitType Tape
  LUN0 Removable rw {cartridge} auto
"""

_CONTROL = (
    """\
[Global]
  Timeout 10
  AuthMethod Auto
  Host 127.0.0.1
  Port {control}
  TargetName "%s"
  Lun 0
  Flags "rw"
  Size "auto"
"""
    % _TARGET
)

# The cartridge file, all little-endian: a control block with the places of the filemarks, then marks, each followed by its data.
_CONTROL_BYTES = 128 * 1024
_MARK_BYTES = 128
_ALIGN = 8
_MARKS_OFFSET = 512 * 8
_ENDIAN = 0x1122334455667788
_END = (1 << 64) - 1
_MARK = struct.Struct("<8sQQQQQQQ")  # magic, endian, version, mark length, data length, position, own offset, offset before


def _mark(kind: bytes, position: int, offset: int) -> bytes:
    packed = _MARK.pack(b"ISVT" + kind, _ENDIAN, 0, _MARK_BYTES, 0, position, offset, 0)
    return packed + bytes(_MARK_BYTES - len(packed))


class Istgt(Target):
    """The istgt target in DIRECTORY."""

    name = "istgt"
    programs = ("istgt", "istgtcontrol")
    package = "istgt"

    def format(self, path, size_mib: int) -> None:
        control = bytearray(_CONTROL_BYTES)
        struct.pack_into("<8s10Q", control, 0, b"ISVTCTRL", _ENDIAN, 0, _CONTROL_BYTES, 512, _MARK_BYTES, _ALIGN, 0, 0, 0, 0)
        struct.pack_into("<8Q", control, _MARKS_OFFSET, 0, 0, 0, 0, _END, _END, 0, 0)
        with open(path, "xb") as file:
            file.write(control + _mark(b"BOTB", 0, 0) + _mark(b"EODB", 1, _MARK_BYTES))
            file.truncate(size_mib * MIB)

    def blocks(self, path):
        with open(path, "rb") as file:
            offset = _MARK_BYTES
            while True:
                file.seek(_CONTROL_BYTES + offset)
                magic, _, _, _, length, position, _, _ = _MARK.unpack(file.read(_MARK.size))
                if magic not in (b"ISVTDATA", b"ISVTEOFB"):
                    return
                yield position - 1, magic == b"ISVTEOFB", _CONTROL_BYTES + offset + _MARK_BYTES, length
                offset += _MARK_BYTES + length
                offset += -offset % _ALIGN

    def _command(self, state: dict, cartridge) -> list:
        port, control = state["ports"]
        values = {"directory": self.directory, "port": port, "control": control, "cartridge": cartridge}
        (self.directory / "istgt.conf").write_text(_CONFIG.format(**values))
        (self.directory / "istgtcontrol.conf").write_text(_CONTROL.format(**values))
        (self.directory / "auth.conf").touch(0o600)
        return ["/usr/sbin/istgt", "-D", "-c", str(self.directory / "istgt.conf")]

    def _url(self, state: dict) -> str:
        return "iscsi://127.0.0.1:%d/%s/0" % (state["ports"][0], _TARGET)

    def _control(self, *arguments: str) -> None:
        done = subprocess.run(
            ["/usr/sbin/istgtcontrol", "-c", str(self.directory / "istgtcontrol.conf"), *arguments],
            capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode or "DONE" not in done.stdout:
            raise RuntimeError("istgtcontrol %s: %s" % (" ".join(arguments), (done.stdout + done.stderr).strip()))

    def eject(self) -> None:
        self._control("unload")

    def insert(self, cartridge: str, protected: bool = False) -> None:
        self._control("-f", "ro" if protected else "rw", "-s", "auto", "change", str(self.path(cartridge)))
        self._now_in_drive(cartridge)

    def hide(self, address: int) -> None:
        """Make one block of the cartridge in the drive unreadable: its header names another position. Those behind it stay."""
        path = self.path(self.state["cartridge"])
        for at, _, offset, _ in self.blocks(path):
            if at == address:
                with open(path, "r+b") as file:
                    file.seek(offset - _MARK_BYTES + 40)
                    file.write(struct.pack("<Q", _END >> 1))
                return
        raise ValueError("%s: block %d is not recorded" % (path, address))


if __name__ == "__main__":
    main(Istgt)
