"""borg over ssh, with a server, keys and settings of its own. Its fastest way: no encryption at rest, lz4, AES-GCM on the line."""

import getpass
import shlex
from pathlib import Path

from image.paths import run
from tests.bench.subjects import server
from tests.bench.subjects.subject import Subject

_PORT = 7190
_CIPHER = "aes128-gcm@openssh.com"
_SERVER = """Port %(port)d
ListenAddress %(address)s
HostKey %(folder)s/host
AuthorizedKeysFile %(folder)s/client.pub
PidFile %(folder)s/pid
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
"""
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd wants it; its service makes it where that runs


class Borg(Subject):
    environment = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}

    def start(self) -> None:
        self._archives = [0, 0]
        for key in ("host", "client"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key])
        known = "[%s]:%d %s" % (server.ADDRESS, _PORT, (self.folder / "host.pub").read_text())
        (self.folder / "known").write_text(known)
        config = self.folder / "sshd_config"
        config.write_text(_SERVER % {"port": _PORT, "address": server.ADDRESS, "folder": self.folder})
        _PRIVILEGE_SEPARATION.mkdir(exist_ok=True)
        self._daemon = server.Daemon(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], _PORT, self.folder / "server.log")
        self.store().mkdir()
        run(self._command(0, "init", "--encryption", "none", self._repository()), env=self.environment)

    def stop(self) -> None:
        self._daemon.stop()

    def servers(self) -> list:
        return [self._daemon.pid]

    def store(self) -> Path:
        return self.folder / "store"

    def version(self) -> str:
        return run(["borg", "--version"]).split()[1]

    def backup(self, source: Path, client: int) -> list:
        self._archives[client] += 1
        return self._command(client, "create", "--compression", "lz4", self._archive(client), str(source))

    def restore(self, path: Path, target: Path) -> list:
        command = self._command(0, "extract", self._archive(0), str(path).lstrip("/"))
        return ["sh", "-c", "cd %s && exec %s" % (shlex.quote(str(target)), shlex.join(command))]

    def _repository(self) -> str:
        return "ssh://%s@%s:%d%s" % (getpass.getuser(), server.ADDRESS, _PORT, self.store() / "repo")

    def _archive(self, client: int) -> str:
        return "%s::pc%d-%d" % (self._repository(), client, self._archives[client])

    def _command(self, client: int, verb: str, *words: str) -> list:
        shell = ["ssh", "-c", _CIPHER, "-i", str(self.folder / "client"), "-o", "IdentitiesOnly=yes", "-F", "/dev/null"]
        shell += ["-o", "UserKnownHostsFile=%s" % (self.folder / "known")]
        base = "BORG_BASE_DIR=%s" % (self.folder / ("pc%d" % client))
        return ["env", base, "borg", verb, "--rsh", shlex.join(shell), *words]
