"""A TCP relay before the appliance that a test can cut. Used by test_mount.py and test_restore.py."""

import socket
import threading


class Relay:
    """Passes connections on to `port` until they are cut; `after_bytes` to the agent: the first connection is cut by itself then."""

    def __init__(self, port: int, after_bytes: int = 0):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._to = port
        self._left = after_bytes
        self._open: list = []
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source, target, counted: bool) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if counted and self._left:
                    self._left = max(0, self._left - len(data))
                    if not self._left:
                        self.cut()
        except OSError:
            pass

    def cut(self) -> int:
        """Ends every connection; says how many there were."""
        count = len(self._open) // 2
        self.cuts += count
        while self._open:
            one = self._open.pop()
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
        return count

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
