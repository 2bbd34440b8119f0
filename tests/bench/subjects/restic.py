"""restic through a REST server with TLS: `rclone serve restic`. Both clients use one repository, as restic's users do to share data.

restic is taken from the Debian release that the image is made of (0.18), newer than that of Debian 12 (0.14).
"""

import shutil
from pathlib import Path

from image import tables
from image.paths import BUILD, run
from tests.bench.subjects import server
from tests.bench.subjects.subject import Subject

_PORT = 7180
_PEERS, _FRESH = BUILD / "peers", BUILD / "peers.new"
_PROGRAM = _PEERS / "usr/bin/restic"


class Restic(Subject):
    environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": "rest:https://%s:%d/" % (server.ADDRESS, _PORT)}

    @staticmethod
    def install() -> None:
        """Just extracted: it needs nothing but a C library."""
        if not _PROGRAM.exists():
            for folder in (_PEERS, _FRESH):
                shutil.rmtree(folder, ignore_errors=True)
            run(["mmdebstrap", "--variant=extract", "--architectures=amd64", "--include=restic", tables.SUITE, _FRESH])
            _FRESH.rename(_PEERS)

    def start(self) -> None:
        self._certificate, key = server.certificate(self.folder)
        self.store().mkdir()
        serve = ["rclone", "serve", "restic", "--addr", "%s:%d" % (server.ADDRESS, _PORT)]
        serve += ["--cert", str(self._certificate), "--key", str(key), "--config", "/dev/null", str(self.store())]
        self._daemon = server.Daemon(serve, _PORT, self.folder / "server.log")
        run(self._command(0, "init"), env=self.environment)

    def stop(self) -> None:
        self._daemon.stop()

    def servers(self) -> list:
        return [self._daemon.pid]

    def store(self) -> Path:
        return self.folder / "store"

    def version(self) -> str:
        return run([_PROGRAM, "version"]).split()[1] + " (rclone %s)" % run(["rclone", "version"]).split()[1]

    def backup(self, source: Path, client: int) -> list:
        return self._command(client, "backup", "--host", _host(client), str(source))

    def restore(self, path: Path, target: Path) -> list:
        return self._command(0, "restore", "latest", "--host", _host(0), "--include", str(path), "--target", str(target))

    def _command(self, client: int, verb: str, *words: str) -> list:
        cache = str(self.folder / ("cache%d" % client))
        return [str(_PROGRAM), verb, "--quiet", "--cacert", str(self._certificate), "--cache-dir", cache, *words]


def _host(client: int) -> str:
    return "pc%d" % client
