"""burp, client and server, with the settings that Debian ships and TLS; one certificate for both ends."""

import re
from pathlib import Path

from image.paths import run
from tests.bench.subjects import server
from tests.bench.subjects.subject import Subject

_PORT, _STATUS_PORT = 7200, 7201
_PASSWORD = "bench"
_TLS = """ssl_cert_ca = %(folder)s/cert.pem
ssl_cert = %(folder)s/cert.pem
ssl_key = %(folder)s/key.pem
ssl_peer_cn = %(name)s
"""
_SERVER = """mode = server
listen = %(address)s:%(port)d
listen_status = %(address)s:%(status)d
directory = %(folder)s/store
dedup_group = global
clientconfdir = %(folder)s/clients
pidfile = %(folder)s/server.pid
hardlinked_archive = 0
working_dir_recovery_method = delete
max_children = 5
umask = 0022
syslog = 0
stdout = 1
client_can_restore = 1
client_can_list = 1
keep = 7
ssl_dhfile = %(folder)s/dh.pem
"""
_CLIENT = """mode = client
server = %(address)s:%(port)d
password = %(password)s
cname = pc%(client)d
pidfile = %(folder)s/pc%(client)d.pid
syslog = 0
stdout = 0
progress_counter = 0
cross_all_filesystems = 0
include = %(source)s
"""


class Burp(Subject):
    def start(self) -> None:
        server.certificate(self.folder)
        run(["openssl", "dhparam", "-dsaparam", "-out", self.folder / "dh.pem", "2048"])
        self.store().mkdir()
        self._write("server.conf", _SERVER)
        (self.folder / "clients").mkdir()
        for client in range(2):
            self._write("clients/pc%d" % client, "password = %(password)s\nssl_peer_cn = %(name)s\n", tls=False)
        command = ["/usr/sbin/burp", "-F", "-c", str(self.folder / "server.conf")]
        self._daemon = server.Daemon(command, _PORT, self.folder / "server.log")

    def stop(self) -> None:
        self._daemon.stop()

    def servers(self) -> list:
        return [self._daemon.pid]

    def store(self) -> Path:
        return self.folder / "store"

    def version(self) -> str:
        return run(["/usr/sbin/burp", "-V"]).split("-")[-1].strip()

    def backup(self, source: Path, client: int) -> list:
        return self._command(client, source, "-a", "b")

    def restore(self, path: Path, target: Path) -> list:
        return self._command(0, path, "-a", "r", "-d", str(target), "-r", "^%s(/|$)" % re.escape(str(path)))

    def _command(self, client: int, source: Path, *words: str) -> list:
        name = "pc%d.conf" % client
        self._write(name, _CLIENT, client=client, source=source)
        return ["/usr/sbin/burp", "-c", str(self.folder / name), *words]

    def _write(self, name: str, text: str, tls: bool = True, **more) -> None:
        values = {"address": server.ADDRESS, "port": _PORT, "status": _STATUS_PORT, "folder": self.folder}
        values |= {"password": _PASSWORD, "name": server.NAME, **more}
        (self.folder / name).write_text((text + (_TLS if tls else "")) % values)
