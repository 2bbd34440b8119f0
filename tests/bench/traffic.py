"""Counts the bytes between client and server, the same way for every program measured: nftables in a network namespace.

`enter()` moves this process into a namespace of its own, in which only the loopback interface exists; whatever it starts is in
there, too. Servers listen below SERVER_PORTS, so each packet's direction shows in its ports. A count is of IP packets: TLS or
ssh, TCP and IP headers included.
"""

import ctypes
import json
import os
import subprocess

from image.paths import SEARCH, BuildError

SERVER_PORTS = 30000
_CLONE_NEWNET = 0x40000000
_RULES = """
table ip bench {
 counter sent {}
 counter received {}
 chain out {
  type filter hook output priority 0;
  tcp dport < %d counter name sent
  tcp sport < %d counter name received
 }
}
""" % (SERVER_PORTS, SERVER_PORTS)


def enter() -> None:
    """Call it before any thread starts. Raises BuildError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise BuildError("no network namespace to count in (%s): run this bench as root" % os.strerror(ctypes.get_errno()))
    _program("ip", "link", "set", "lo", "up")
    _program("nft", "-f", "-", text=_RULES)


def counts() -> tuple:
    """Bytes so far (from clients to servers, from servers to clients)."""
    rows = json.loads(_program("nft", "-j", "list", "counters"))["nftables"]
    found = {row["counter"]["name"]: row["counter"]["bytes"] for row in rows if "counter" in row}
    return found["sent"], found["received"]


def _program(*words: str, text: str = "") -> str:
    done = subprocess.run(words, input=text, text=True, capture_output=True, env=dict(os.environ, PATH=SEARCH))
    if done.returncode:
        raise BuildError("%s: %s" % (" ".join(words), done.stderr.strip()))
    return done.stdout
